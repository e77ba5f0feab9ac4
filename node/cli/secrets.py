"""Where commands get a passphrase from: a file, the environment, or the terminal."""

import sys
from pathlib import Path

import click

from node.keys import PassphraseNeeded, find_passphrase, read_passphrase, show_keys


def given_passphrase(file: Path | None) -> str | None:
    """The passphrase that was handed over without asking."""
    return read_passphrase(file) if file else find_passphrase()


def needed_passphrase(file: Path | None, *, new: bool) -> str:
    """The passphrase, asked for on the terminal if it was not handed over.

    A new one is asked for twice. Raises PassphraseNeeded where nobody can be asked.
    """
    found = given_passphrase(file)
    if found is not None:
        return found
    if not sys.stdin.isatty():
        remedy = "give --passphrase-file or set TMNODE_PASSPHRASE"
        raise PassphraseNeeded("a passphrase is needed", remedy=remedy)
    text: str = click.prompt("Passphrase", hide_input=True, confirmation_prompt=new, err=True)
    return text


def passphrase_for(data_dir: Path, file: Path | None) -> str | None:
    """The passphrase of a data directory's keys; None if they are not sealed."""
    return needed_passphrase(file, new=False) if show_keys(data_dir).sealed else None
