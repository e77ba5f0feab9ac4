"""`python -m storage`: backup, restoration and repair of a store that no node has open."""

import argparse
import sys
from pathlib import Path

import msgspec

from storage.backup import BackupReport, restore_backup, write_backup
from storage.errors import StorageError
from storage.leveldb import open_leveldb
from storage.repair import repair_leveldb


def main(arguments: list[str]) -> int:
    """Do what the command line says: the report as JSON on standard output, or why not."""
    chosen = _parser().parse_args(arguments)
    try:
        report = chosen.run(*(getattr(chosen, place) for place in chosen.places))
    except StorageError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    encoded = msgspec.json.encode(report, enc_hook=str)
    sys.stdout.write(msgspec.json.format(encoded).decode() + "\n")
    return 0


def _backup(store: Path, directory: Path) -> BackupReport:
    with open_leveldb(store, create=False) as opened:
        return write_backup(opened, directory)


_COMMANDS = (
    ("backup", _backup, ("STORE", "NEW_BACKUP"), "copy a store, with a manifest"),
    ("restore", restore_backup, ("BACKUP", "NEW_STORE"), "verify a backup and make a store of it"),
    ("repair", repair_leveldb, ("STORE",), "keep what can be read; the originals stay beside it"),
)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m storage", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run, places, purpose in _COMMANDS:
        command = commands.add_parser(name, help=purpose, description=purpose)
        command.set_defaults(run=run, places=places)
        for place in places:
            command.add_argument(place, type=Path)
    return parser


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
