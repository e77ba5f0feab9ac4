"""The ledger on a real disk: durable entries a second, and an audit of many.

The entries are those of tasks: `reserve`, `settle` and `mature`, the last with a posting for each
payee, and every one durable before its writer goes on. As in `bench storage`, the rates are taken
again with 5 ms added to each sync. Rates count seconds of the clock; what a busy machine takes of
them shows beside the CPU time.
"""

import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from itertools import count
from pathlib import Path
from typing import NamedTuple

import trio

from node.amounts import UNITS_PER_CPC
from node.bench.report import Row, median, row
from node.bench.slow_disk import SlowStore
from node.l1.keys import AccountKey
from node.settlement import accounts
from node.settlement.bonds import Bonds
from node.settlement.entries import move
from node.settlement.ledger import Ledger
from node.settlement.owed import OwedBook
from node.settlement.parameters import SettlementParameters
from node.settlement.rewards import Rewards
from node.split import Payees
from storage.database import Database, open_database
from storage.leveldb import open_leveldb
from storage.store import Batch

WRITERS = 64
TARGETS = {0.0: 5_000, 0.005: 2_000}
"""Entries a second, by the seconds added to each sync."""
AUDIT_TARGET_S = 5.0
BEFORE_FLUSH = 500
"""Tasks between waits for the disk while books are filled for the audit."""
FOLDER = "tmnode-bench-"


class Rate(NamedTuple):
    """One run of the writers."""

    entries_per_s: float
    entries_per_sync: float
    cpu_us: float
    """CPU time an entry, of all threads."""


class Book:
    """A market's ledger without a chain; its pay matures at once."""

    def __init__(self, db: Database) -> None:
        keys = [AccountKey(number.to_bytes(32, "big")) for number in range(1, 7)]
        people = [key.address for key in keys]
        self.db = db
        self.ledger = Ledger(db)
        self.customer = people[0]
        self._workers, self._validators = people[1:3], people[3:6]
        parameters = SettlementParameters(dispute_window_s=0)
        bonds = Bonds(db, self.ledger, parameters)
        self._rewards = Rewards(db, self.ledger, OwedBook(db), parameters, bonds)

    def deposit(self, amount: int) -> None:
        """What the customer buys with."""
        batch = Batch()
        postings = move(accounts.L1, accounts.customer(self.customer), amount)
        self.ledger.post(batch, cause="deposit:1", kind="deposit", postings=postings, at_ms=0)
        self.db.stage(batch)

    def steps(self, number: int) -> Iterator[Batch]:
        """The three entries of one task, each in a batch of its own."""
        task, worker = f"task-{number}", self._workers[number % len(self._workers)]
        checks = dict.fromkeys(self._validators, 1)
        payees = Payees({worker: 1}, checks, self._validators[number % len(self._validators)])
        batch = Batch()
        self._rewards.reserve(batch, task, self.customer, UNITS_PER_CPC, number)
        yield batch
        batch = Batch()
        self._rewards.settle(batch, task, payees, number)
        yield batch
        batch = Batch()
        self._rewards.mature(batch, task, number)
        yield batch


def rate_rows(seconds: float, runs: int) -> list[Row]:
    """Durable entries a second of many writers, without and with a slow disk; medians."""
    rows: list[Row] = []
    for added_s, target in TARGETS.items():
        found = [trio.run(_rate, added_s, seconds) for _ in range(runs)]
        case = f", {1000 * added_s:g} ms added per sync" if added_s else ""
        rate = median([one.entries_per_s for one in found])
        shared = median([one.entries_per_sync for one in found])
        rows += [
            row(f"durable entries{case}", rate, "entries/s", runs, target=target),
            row(f"entries per sync{case}", shared, "entries", runs),
            row(f"CPU an entry{case}", min(one.cpu_us for one in found), "us", runs),
        ]
    return rows


def audit_rows(entries: int, runs: int) -> list[Row]:
    """The audit of so many entries, best of several."""
    elapsed_s, cpu_s = trio.run(_audits, entries, runs)
    metric = f"audit of {entries:,} entries"
    return [
        row(metric, elapsed_s, "s", runs, target=AUDIT_TARGET_S),
        row(f"{metric}, CPU", cpu_s, "s", runs),
    ]


async def _rate(added_s: float, seconds: float) -> Rate:
    done = [0] * WRITERS
    async with _open_book(added_s) as book:
        book.deposit(10**12 * UNITS_PER_CPC)
        await book.db.flushed()
        syncs, began, cpu = book.db.syncs, time.perf_counter(), time.process_time()
        async with trio.open_nursery() as nursery:
            for writer in range(WRITERS):
                nursery.start_soon(_write, book, writer, done, began + seconds)
        elapsed_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu
        entries = sum(done)
        return Rate(entries / elapsed_s, entries / (book.db.syncs - syncs), 1e6 * cpu_s / entries)


async def _write(book: Book, writer: int, done: list[int], end: float) -> None:
    for number in count(writer, WRITERS):
        for batch in book.steps(number):
            await book.db.commit(batch)
            done[writer] += 1
        if time.perf_counter() >= end:
            return


async def _audits(entries: int, runs: int) -> tuple[float, float]:
    """Seconds of the clock and of the CPU that the fastest audit took."""
    async with _open_book(0.0) as book:
        book.deposit(entries * UNITS_PER_CPC)
        for number in range((entries - 1) // 3):
            for batch in book.steps(number):
                book.db.stage(batch)
            if number % BEFORE_FLUSH == 0:
                await book.db.flushed()
        await book.db.flushed()
        return min(_audit(book.ledger) for _ in range(runs))


def _audit(ledger: Ledger) -> tuple[float, float]:
    began, cpu = time.perf_counter(), time.process_time()
    report = ledger.audit()
    assert report.ok, report.findings
    return time.perf_counter() - began, time.process_time() - cpu


@asynccontextmanager
async def _open_book(added_s: float) -> AsyncIterator[Book]:
    """A book on LevelDB in a fresh folder."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix=FOLDER))
        store = stack.enter_context(open_leveldb(Path(folder)))
        async with open_database(SlowStore(store, added_s) if added_s else store) as db:
            yield Book(db)
