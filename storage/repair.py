"""Repair of a damaged LevelDB directory: what can be read is kept, the originals stay aside.

Last resort, for when there is no backup. What it leaves need not be the state of any one moment:
damaged records are missing, deleted ones may be back. The node's own audits have to pass on it.

Two ways are tried, the milder one first:

1. Opening without LevelDB's strictness skips damaged parts of the log, each of them checked
   against its checksum. It serves when only the log is damaged.
2. LevelDB's repair makes a new list of files from all tables and logs that it can read. It does not
   verify the checksums of a log, and it puts all tables on one level, where a read would find the
   record of the newest file instead of the newest record; compacting them all at once puts that
   right.
"""

import shutil
from contextlib import closing
from pathlib import Path

import msgspec
import plyvel

from storage.errors import RepairFailed, StorageFailed, StoreUnusable
from storage.files import LOCK_FILE, locked_directory, new_directory, sync_tree
from storage.leveldb import LevelDBStore, holds_records, open_leveldb, reason_of
from storage.store import KeyValueStore


class RepairReport(msgspec.Struct, frozen=True):
    """What a repair left."""

    records: int
    size_bytes: int  # of keys and values
    originals: Path  # the directory as it was before


def repair_leveldb(path: Path) -> RepairReport:
    """Make a directory a store that can be read from end to end; its originals are kept beside it.

    Interrupted, it can be run again: it begins with a whole and durable copy, `NAME.damaged-N`.

    Raises:
        StoreLocked: the directory is in use.
        RepairFailed: nothing in it can be read as a store, or the disk refuses.
    """
    path = path.resolve()  # its name is needed, and "." has none
    try:
        if not holds_records(path):
            raise RepairFailed(path, "no tables or logs of LevelDB are in it")
        with locked_directory(path):
            originals = _set_aside(path)
            if not _opened_leniently(path):
                plyvel.repair_db(str(path), paranoid_checks=True)  # strict: checksums of tables
                _compact(path)
            sync_tree(path)
        with open_leveldb(path, create=False) as store:
            records, size = _measure(store)
    except (plyvel.Error, OSError) as error:
        raise RepairFailed(path, reason_of(error)) from error
    except (StorageFailed, StoreUnusable) as error:
        raise RepairFailed(path, error.reason) from error
    return RepairReport(records, size, originals)


def _set_aside(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    with new_directory(aside) as copy:
        ignored = shutil.ignore_patterns(LOCK_FILE)
        shutil.copytree(path, copy, dirs_exist_ok=True, ignore=ignored)
    return aside


def _opened_leniently(path: Path) -> bool:
    try:
        with closing(LevelDBStore(path, create=False, strict=False)) as store:
            _measure(store)
    except (plyvel.Error, StorageFailed):
        return False
    return True


def _compact(path: Path) -> None:
    with closing(LevelDBStore(path, create=False)) as store:
        store.compact()


def _measure(store: KeyValueStore) -> tuple[int, int]:
    """The count and size of all records; raises StorageFailed if one cannot be read."""
    records = size = 0
    for key, value in store.scan(b"", None):
        records += 1
        size += len(key) + len(value)
    return records, size
