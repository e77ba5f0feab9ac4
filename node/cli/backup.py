"""`tmnode backup`: a copy of a node's database, whether it runs or not."""

from pathlib import Path

import click

from node.cli.options import PATH, data_dir_option, json_option
from node.cli.output import print_answer
from node.control import ask_backup
from node.errors import Unavailable
from storage.backup import BackupReport, write_backup
from storage.leveldb import open_leveldb


@click.command()
@click.argument("directory", metavar="NEW_DIRECTORY", type=PATH)
@data_dir_option
@json_option
def backup(directory: Path, data_dir: Path, as_json: bool) -> None:
    """Copy a node's database to a new directory, while the node goes on if it runs.

    The copy is the state of one moment. It does not hold the keys (`tmnode keys export`) or the
    outputs. `python -m storage restore` makes a database of it.
    """
    report = copy_of(data_dir, directory)
    text = f"{report.records} records, {report.size_bytes} bytes, sha256 {report.sha256}"
    print_answer(report, text, as_json=as_json)


def copy_of(data_dir: Path, directory: Path) -> BackupReport:
    """Back up a node's database, through the node if it runs."""
    try:
        return ask_backup(data_dir, directory)
    except Unavailable:
        with open_leveldb(data_dir / "db", create=False) as store:
            return write_backup(store, directory)
