"""A process that writes under load until it is killed; started by `test_store_crash.py`.

    python storage_writer.py DIRECTORY WRITERS

Each writer goes on from its stored count. A commit is three records that belong together: the new
count, and two halves of a pair. A line "writer count" on standard output acknowledges it.
"""

import os
import sys
from pathlib import Path

import trio

from storage.database import Database, open_database
from storage.leveldb import open_leveldb
from storage.store import Batch


async def write_on(database: Database, writer: int) -> None:
    count = int(database.get(b"count:%d" % writer) or b"0")
    while True:
        count += 1
        batch = Batch()
        batch.put(b"count:%d" % writer, b"%d" % count)
        for half in (b"left", b"right"):
            batch.put(b"%s:%d:%d" % (half, writer, count), bytes(100))
        await database.commit(batch)
        os.write(1, b"%d %d\n" % (writer, count))


async def main(directory: Path, writers: int) -> None:
    with open_leveldb(directory) as store:
        async with open_database(store) as database, trio.open_nursery() as nursery:
            for writer in range(writers):
                nursery.start_soon(write_on, database, writer)


if __name__ == "__main__":
    trio.run(main, Path(sys.argv[1]), int(sys.argv[2]))
