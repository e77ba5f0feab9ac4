"""A node's two keys: made, kept private, shown, exported, restored, exchanged, and bound together.

`store` is the data directory's `keys/` folder, `rotation` how other keys come there, `files` the
care with which they are written and read, `content` what is in them, `sealing` the passphrase,
`binding` the proof that both are ours.
"""

from node.keys.binding import KeyBinding, bind, verify_binding
from node.keys.errors import (
    BindingInvalid,
    KeyFileCorrupt,
    KeyFileExposed,
    KeyFileForeign,
    KeysError,
    KeysExist,
    KeysMissing,
    PassphraseNeeded,
    WrongPassphrase,
)
from node.keys.passphrase import find_passphrase, read_passphrase
from node.keys.rotation import (
    ArchivedKeys,
    archived_folder,
    archived_keys,
    finish_rotation,
    restore_archived,
    rotate_keys,
)
from node.keys.sealing import Cost
from node.keys.store import (
    KeysView,
    NodeKeys,
    current_paths,
    export_keys,
    load_from,
    load_keys,
    load_or_make_keys,
    make_keys,
    paths_in,
    restore_keys,
    show_from,
    show_keys,
)

__all__ = [
    "ArchivedKeys",
    "BindingInvalid",
    "Cost",
    "KeyBinding",
    "KeyFileCorrupt",
    "KeyFileExposed",
    "KeyFileForeign",
    "KeysError",
    "KeysExist",
    "KeysMissing",
    "KeysView",
    "NodeKeys",
    "PassphraseNeeded",
    "WrongPassphrase",
    "archived_folder",
    "archived_keys",
    "bind",
    "current_paths",
    "export_keys",
    "find_passphrase",
    "finish_rotation",
    "load_from",
    "load_keys",
    "load_or_make_keys",
    "make_keys",
    "paths_in",
    "read_passphrase",
    "restore_archived",
    "restore_keys",
    "rotate_keys",
    "show_from",
    "show_keys",
    "verify_binding",
]
