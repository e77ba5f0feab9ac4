"""`tmnode bench storage`: durable puts, beside SQLite's with the same writers on the same disk.

Both write 100-byte values under keys of their own, each put acknowledged only when it is synced.
SQLite gets the arrangement that suits it best: one connection in WAL mode with synchronous=FULL,
one transaction a put, its writers taking turns at a lock instead of failing on a busy database.

A sync costs what the disk takes; a fast one hides what is gained by sharing it. So everything is
measured again with 5 ms added to each sync, as on a disk that takes that long. The stores lie in
the folder for temporary files, TMPDIR, which has to be on the disk that is meant.
"""

import sqlite3
import statistics
import tempfile
import threading
import time
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import NamedTuple

import trio

from node.bench.report import Report, Row, report, row
from node.bench.slow_disk import SlowStore
from storage.database import Database, open_database
from storage.leveldb import open_leveldb
from storage.store import Batch

WRITERS = (64, 1)
ADDED_S = (0.0, 0.005)
VALUE = bytes(100)
PEER = "sqlite3"
FOLDER = "tmnode-bench-"


class _Measured(NamedTuple):
    puts_per_s: float
    puts_per_sync: float


def bench_storage(seconds: float, runs: int) -> Report:
    """Measure each case `runs` times for so many seconds, ours and SQLite in turn; medians."""
    rows = [
        row
        for added_s in ADDED_S
        for writers in WRITERS
        for row in _rows(writers, added_s, seconds, runs)
    ]
    return report("storage", rows)


def _rows(writers: int, added_s: float, seconds: float, runs: int) -> list[Row]:
    ours, theirs = [], []
    for _ in range(runs):
        ours.append(trio.run(_ours, writers, added_s, seconds))
        theirs.append(_sqlite(writers, added_s, seconds))
    case = _case(writers, added_s)
    puts = statistics.median(one.puts_per_s for one in ours)
    peer = statistics.median(theirs)
    shared = statistics.median(one.puts_per_sync for one in ours)
    return [
        Row(
            metric=f"durable puts, {case}",
            value=puts,
            unit="puts/s",
            runs=runs,
            peer=PEER,
            peer_value=peer,
            ratio=puts / peer,
        ),
        row(f"puts per sync, {case}", shared, "puts", runs),
    ]


def _case(writers: int, added_s: float) -> str:
    who = "1 writer" if writers == 1 else f"{writers} writers"
    return f"{who}, {1000 * added_s:g} ms added per sync" if added_s else who


async def _ours(writers: int, added_s: float, seconds: float) -> _Measured:
    done = [0] * writers
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix=FOLDER))
        store = stack.enter_context(open_leveldb(Path(folder)))
        async with open_database(SlowStore(store, added_s) if added_s else store) as database:
            began = time.perf_counter()
            async with trio.open_nursery() as nursery:
                for writer in range(writers):
                    nursery.start_soon(_put, database, writer, done, began + seconds)
            elapsed_s = time.perf_counter() - began
            return _Measured(sum(done) / elapsed_s, sum(done) / database.syncs)


async def _put(database: Database, writer: int, done: list[int], end: float) -> None:
    for number in count():
        batch = Batch()
        batch.put(_key(writer, number), VALUE)
        await database.commit(batch)
        done[writer] += 1
        if time.perf_counter() >= end:
            return


def _sqlite(writers: int, added_s: float, seconds: float) -> float:
    """Puts a second."""
    done = [0] * writers
    with tempfile.TemporaryDirectory(prefix=FOLDER) as folder:
        connection = _connect(Path(folder) / "peer.sqlite")
        turn = threading.Lock()
        began = time.perf_counter()

        def put(writer: int) -> None:
            for number in count():
                with turn:
                    connection.execute(
                        "INSERT INTO pairs VALUES (?, ?)", (_key(writer, number), VALUE)
                    )
                    if added_s:
                        time.sleep(added_s)
                done[writer] += 1
                if time.perf_counter() >= began + seconds:
                    return

        threads = [threading.Thread(target=put, args=(writer,)) for writer in range(writers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        elapsed_s = time.perf_counter() - began
        connection.close()
    return sum(done) / elapsed_s


def _connect(path: Path) -> sqlite3.Connection:
    """Each statement is a transaction of its own."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE pairs (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID")
    return connection


def _key(writer: int, number: int) -> bytes:
    return b"%d:%d" % (writer, number)
