"""Where a node that nobody watches finds its passphrase."""

import os
from collections.abc import Mapping
from pathlib import Path

from node.keys.errors import PassphraseNeeded

VARIABLE = "TMNODE_PASSPHRASE"
FILE_VARIABLE = "TMNODE_PASSPHRASE_FILE"


def find_passphrase(environment: Mapping[str, str] = os.environ) -> str | None:
    """The passphrase from TMNODE_PASSPHRASE_FILE or TMNODE_PASSPHRASE, None without either.

    Raises PassphraseNeeded if the file cannot be read.
    """
    path = environment.get(FILE_VARIABLE)
    if path:
        return read_passphrase(Path(path))
    return environment.get(VARIABLE) or None


def read_passphrase(path: Path) -> str:
    """The first line of a file; raises PassphraseNeeded."""
    try:
        return path.read_text(encoding="utf-8").partition("\n")[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise PassphraseNeeded(f"cannot be read: {error}", field=str(path)) from error
