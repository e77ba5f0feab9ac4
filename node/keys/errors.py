"""The errors of the key files, on top of the node's tree.

KeysError
├── KeysMissing          the data directory has no keys
├── KeysExist            something is there that would be overwritten
├── KeyFileExposed       others can read the file, or it is somebody else's
├── KeyFileForeign       not a key file, or of a version this node does not know
├── KeyFileCorrupt       a key file whose content has changed
├── PassphraseNeeded     the file is sealed and no passphrase was given
├── WrongPassphrase      the file is sealed with another passphrase
└── BindingInvalid       two keys that do not vouch for each other
"""

from node.errors import NodeError


class KeysError(NodeError):
    """Base of what is wrong with keys."""

    code = "keys"


class KeysMissing(KeysError):
    """There are no keys where the node looks for them."""


class KeysExist(KeysError):
    """A file is in the way; keys are never overwritten."""


class KeyFileExposed(KeysError):
    """Somebody else owns the file or can read it."""


class KeyFileForeign(KeysError):
    """The file was not written by this program, or by a newer one."""


class KeyFileCorrupt(KeysError):
    """The file's content is not what was written."""


class PassphraseNeeded(KeysError):
    """The file cannot be opened without a passphrase."""


class WrongPassphrase(KeysError):
    """The passphrase does not open the file."""


class BindingInvalid(KeysError):
    """The two signatures do not show that one owner holds both keys."""
