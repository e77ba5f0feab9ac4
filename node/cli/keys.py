"""`tmnode keys`: the two keys of a data directory."""

from pathlib import Path

import click
import msgspec

from node.cli.options import PATH, data_dir_option, json_option
from node.cli.output import pairs, print_answer
from node.cli.rotation import archive, rotate
from node.cli.secrets import given_passphrase, needed_passphrase
from node.keys import (
    archived_folder,
    current_paths,
    export_keys,
    load_from,
    make_keys,
    paths_in,
    restore_keys,
    show_from,
    show_keys,
)

_passphrase_file = click.option(
    "--passphrase-file", type=PATH, help="File whose first line is the passphrase."
)


@click.group()
def keys() -> None:
    """Make, show, export, restore and rotate a node's keys.

    A node has two: Ed25519 (its peer id and its signatures on results) and secp256k1 (its L1
    account). A passphrase comes from --passphrase-file, TMNODE_PASSPHRASE_FILE, TMNODE_PASSPHRASE
    or the terminal. Keys that exist are never overwritten.
    """


keys.add_command(rotate)
keys.add_command(archive)


@keys.command()
@data_dir_option
@click.option("--seal", is_flag=True, help="Ask for a passphrase if none is handed over.")
@_passphrase_file
@json_option
def make(data_dir: Path, seal: bool, passphrase_file: Path | None, as_json: bool) -> None:
    """Make new keys, sealed if there is a passphrase."""
    if seal:
        passphrase: str | None = needed_passphrase(passphrase_file, new=True)
    else:
        passphrase = given_passphrase(passphrase_file)
    make_keys(data_dir, passphrase)
    _print_view(data_dir, as_json=as_json)


@keys.command()
@data_dir_option
@json_option
def show(data_dir: Path, as_json: bool) -> None:
    """Show peer id, account and public keys."""
    _print_view(data_dir, as_json=as_json)


@keys.command()
@click.argument("file", type=PATH)
@data_dir_option
@click.option("--archived", metavar="NAME", help="Keys that the node has had, see `archive`.")
@_passphrase_file
@json_option
def export(
    file: Path, data_dir: Path, archived: str | None, passphrase_file: Path | None, as_json: bool
) -> None:
    """Write both keys to FILE, sealed with a passphrase.

    Sealed keys are exported under their own passphrase.
    """
    paths = current_paths(data_dir)
    if archived is not None:
        paths = paths_in(archived_folder(data_dir, archived))
    passphrase = needed_passphrase(passphrase_file, new=not show_from(paths).sealed)
    export_keys(load_from(paths, passphrase), file, passphrase)
    print_answer({"file": str(file)}, f"exported to {file}", as_json=as_json)


@keys.command()
@click.argument("file", type=PATH)
@data_dir_option
@click.option("--unsealed", is_flag=True, help="Store the keys without a passphrase.")
@_passphrase_file
@json_option
def restore(
    file: Path, data_dir: Path, unsealed: bool, passphrase_file: Path | None, as_json: bool
) -> None:
    """Read exported keys from FILE into an empty data directory."""
    passphrase = needed_passphrase(passphrase_file, new=False)
    restore_keys(file, data_dir, passphrase, sealed=not unsealed)
    _print_view(data_dir, as_json=as_json)


def _print_view(data_dir: Path, *, as_json: bool) -> None:
    view = {**msgspec.structs.asdict(show_keys(data_dir)), "data_dir": str(data_dir)}
    print_answer(view, pairs(view), as_json=as_json)
