"""A node's two keys: made, kept private, shown, exported, restored, and bound to each other.

`store` is the data directory's `keys/` folder, `files` the care with which they are written and
read, `format` their content, `sealing` the passphrase, `binding` the proof that both are ours.
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
from node.keys.sealing import Cost
from node.keys.store import (
    KeysView,
    NodeKeys,
    export_keys,
    load_keys,
    load_or_make_keys,
    make_keys,
    restore_keys,
    show_keys,
)

__all__ = [
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
    "bind",
    "export_keys",
    "find_passphrase",
    "load_keys",
    "load_or_make_keys",
    "make_keys",
    "read_passphrase",
    "restore_keys",
    "show_keys",
    "verify_binding",
]
