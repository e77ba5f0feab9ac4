"""Putting verified results on the L1: many under one `SUBMIT_RESULT`, then telling the markets.

A result is stored as pending in the batch in which its lease ends, moves to a sealed batch
together with the signed transaction, and leaves when its market has the anchor. Each step is one
write, so a crash between any two repeats a step and never skips one. When a batch is sealed,
`batching` says.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from math import inf
from typing import NamedTuple

import msgspec
import trio

from node.amounts import Amount
from node.config import NetworkConfig
from node.l1.sender import OutboundRecord, Sender
from node.l1.transactions import GAS, submit_result
from node.roles.batching import BatchRules, Waiting, batch_rules, orchestrator_share
from node.verification.author import Author
from node.verification.batches import leaf_of, seal_batch
from node.verification.statements import ComputeResult
from node.wire.leases import BatchAnchored, ReportResult
from p2p.errors import P2PError, RequestRefused
from p2p.network import Network
from storage.database import Database
from storage.store import Batch
from storage.tables import Table

NOTIFY_TIMEOUT_S = 30.0
"""For a market to look up an anchored batch."""
NOTIFY_PAUSES_S = (1.0, 5.0)
"""Before a market that could not be told is told again: at first, and at most, doubled between.
Trying costs nothing while it is not connected, and its customers wait for their receipts."""
NOTIFY_TRIES = 7 * 24 * 720
"""A week of the longest pause: a market that stays away longer is given up."""
LATE_S = 300.0
"""Age from which a result may be on the chain by its market's own doing, which waits twice that: it
is asked first, since a validator that was away comes back with such results."""
LATE_ASK_S = 30.0
"""For all markets together to say so; results of those that do not are put on the chain."""
NO_HEIGHT = 2**53 - 1
"""Of no chain's blocks."""
CAUSE, AGAIN = "results:", "+"


class PendingResult(msgspec.Struct, frozen=True):
    """A verified result that its market has, not yet in a batch."""

    result: ComputeResult
    market: str
    at_ms: int = 0
    """When it was verified."""
    earns: Amount = Amount(0)
    """Units that its validator gets for having seen it through."""
    late_ms: int = 0
    """From when its market may have put it on the chain itself."""


class ResultTotals(msgspec.Struct, frozen=True):
    """What is in confirmed blocks, since this database began."""

    results: int = 0
    transactions: int = 0

    @property
    def gas_saved(self) -> int:
        """By sharing: each result could have had a transaction of its own."""
        return (self.results - self.transactions) * GAS["SUBMIT_RESULT"]


class SealedBatch(msgspec.Struct, frozen=True):
    """A batch handed to the sender."""

    sealed: ComputeResult
    task_ids: tuple[str, ...]
    leaves: tuple[bytes, ...]
    markets: tuple[str, ...]
    """Those that have not been told yet."""
    height: int = -1
    """Block that includes it, or -1."""


class SealedSince(NamedTuple):
    """A batch on its way, and since when on trio's clock; since the start if it is older."""

    name: str
    sealed: SealedBatch
    since_s: float


class Submitter:
    """One validator's results on their way to the chain."""

    def __init__(
        self,
        *,
        network: Network,
        db: Database,
        author: Author,
        config: NetworkConfig,
        sender: Sender,
        now_ms: Callable[[], int],
    ) -> None:
        self._network = network
        self._db = db
        self._author = author
        self._economics = config.economics
        self._rules: BatchRules = batch_rules(config)
        self._sender = sender
        self._now_ms = now_ms
        self._pending = Table(db, "pending-results", PendingResult)
        self._batches = Table(db, "result-batches", SealedBatch)
        self._since: dict[str, float] = {}
        self._totals = Table(db, "result-totals", ResultTotals)
        self._under_way = {key for key, sealed in self._batches.items() if sealed.height < 0}
        self._news = trio.Event()
        self._anchored_send, self._anchored = trio.open_memory_channel[str](float("inf"))

    @property
    def pending(self) -> int:
        """Results that wait for a batch."""
        return sum(1 for _ in self._pending.items())

    @property
    def totals(self) -> ResultTotals:
        """What is in confirmed blocks."""
        return self._totals.get(b"") or ResultTotals()

    def under_way(self) -> Iterator[SealedSince]:
        """Batches that are not in a block, or whose markets have not all heard of it."""
        for key, sealed in self._batches.items():
            since_s = self._since.get(key.decode(), trio.current_time())
            yield SealedSince(key.decode(), sealed, since_s)

    def add(self, batch: Batch, report: ReportResult, market: str) -> None:
        """Add the results that their market took, in the batch that ends their lease."""
        reward = report.jobs[0].draw.reward
        share = orchestrator_share(reward, self._economics) // len(report.jobs)
        results, leased_ms = [one.result for one in report.jobs], report.jobs[0].draw.expires_ms
        self.add_results(batch, results, market, earns=share, done_ms=leased_ms)

    def add_results(
        self,
        batch: Batch,
        results: Iterable[ComputeResult],
        market: str,
        *,
        earns: int = 0,
        done_ms: int | None = None,
    ) -> None:
        """Add results of a market's to a batch; they go to the chain once that is staged.

        Each of them `earns` this node so many units. `done_ms` is when their market may have had
        them first, for those that are reported once more: now, if that is sooner.
        """
        now_ms = self._now_ms()
        late_ms = min(now_ms, done_ms or now_ms) + round(LATE_S * 1000)
        for one in results:
            key = f"{one.task_id}/{one.nonce}".encode()
            pending = PendingResult(one, market, now_ms, Amount(earns), late_ms)
            self._pending.put(batch, key, pending)
        self._news.set()

    def has(self, task_id: str) -> bool:
        """Whether results of the task are on their way."""
        start = f"{task_id}/".encode()
        if next(self._pending.items(start, start + b"\xff"), None) is not None:
            return True
        return any(task_id in sealed.task_ids for _, sealed in self._batches.items())

    def on_confirmed(self, batch: Batch, record: OutboundRecord) -> None:
        """Our transaction is in a block: note the height in its batch."""
        name = _batch_of(record)
        sealed = self._batches.get(name.encode())
        if sealed is not None and record.height is not None:
            placed = msgspec.structs.replace(sealed, height=record.height)
            self._batches.put(batch, name.encode(), placed)
            self._count(batch, len(sealed.leaves))
            self._under_way.discard(name.encode())
            self._anchored_send.send_nowait(name)
            self._news.set()

    def _count(self, batch: Batch, results: int) -> None:
        known = self._totals.get(b"", batch) or ResultTotals()
        more = ResultTotals(known.results + results, known.transactions + 1)
        self._totals.put(batch, b"", more)

    def on_lost(self, batch: Batch, record: OutboundRecord) -> None:
        """Its nonce went to something else: sign the batch again, under another cause."""
        sealed = self._batches.get(_batch_of(record).encode())
        if sealed is not None:
            self._submit(batch, f"{record.cause}{AGAIN}", sealed.sealed)

    def _submit(self, batch: Batch, cause: str, sealed: ComputeResult) -> None:
        draft = submit_result(msgspec.structs.asdict(sealed), gas_price=self._economics.gas_price)
        self._sender.stage(batch, cause, draft)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Seal and notify until cancelled; takes up what a restart interrupted."""
        async with trio.open_nursery() as nursery:
            for key, sealed in list(self._batches.items()):
                self._since[key.decode()] = trio.current_time()
                if sealed.height >= 0:
                    self._anchored_send.send_nowait(key.decode())
            nursery.start_soon(self._seal_loop)
            task_status.started()
            async for name in self._anchored:
                nursery.start_soon(self._notify, name)

    async def _seal_loop(self) -> None:
        await self._sender.ready.wait()
        while True:
            self._news = trio.Event()
            pause_s = self._due_in()
            if pause_s <= 0:
                await self._leave_late()
                if self._next():
                    self._seal()
                await self._db.flushed()
            else:
                with trio.move_on_after(pause_s):
                    await self._news.wait()

    def _due_in(self) -> float:
        """Seconds until the next batch, if nothing happens; infinite if nothing waits."""
        first = [pending for _, pending in self._next()]
        if not first:
            return inf
        since_ms = min(one.at_ms for one in first)
        waiting = Waiting(len(first), since_ms, sum(one.earns for one in first))
        return self._rules.due_in(waiting, bool(self._under_way), self._now_ms())

    def _next(self) -> Sequence[tuple[bytes, PendingResult]]:
        """What fits the next batch."""
        return list(islice(self._pending.items(), self._rules.most))

    async def _leave_late(self) -> None:
        """Forget the results that their markets have put on the chain meanwhile."""
        now_ms = self._now_ms()
        with trio.move_on_after(LATE_ASK_S):
            for key, pending in self._next():
                if pending.late_ms <= now_ms and not await self._is_wanted(pending):
                    batch = Batch()
                    self._pending.delete(batch, key)
                    self._db.stage(batch)

    async def _is_wanted(self, pending: PendingResult) -> bool:
        """Whether the market waits for the result; until it can be asked.

        One that does refuses to be told of a block that it cannot see; one that does not looks for
        none.
        """
        one = pending.result
        leaves = (leaf_of(one, self._author.chain_id),)
        question = BatchAnchored(one, (one.task_id,), leaves, NO_HEIGHT)
        while True:
            try:
                await self._network.request(pending.market, question, timeout_s=LATE_ASK_S)
            except RequestRefused:
                return True
            except P2PError:
                await trio.sleep(NOTIFY_PAUSES_S[0])
            else:
                return False

    def _seal(self) -> None:
        """Stage one batch of pending results with its transaction."""
        items = self._next()
        results = [pending.result for _, pending in items]
        author = self._author
        sealed = seal_batch(results, author)
        record = SealedBatch(
            sealed=sealed,
            task_ids=tuple(result.task_id for result in results),
            leaves=tuple(leaf_of(result, author.chain_id) for result in results),
            markets=tuple(sorted({pending.market for _, pending in items})),
        )
        batch = Batch()
        self._batches.put(batch, sealed.task_id.encode(), record)
        for key, _ in items:
            self._pending.delete(batch, key)
        self._submit(batch, f"{CAUSE}{sealed.task_id}", sealed)
        self._db.stage(batch)
        self._since[sealed.task_id] = trio.current_time()
        self._under_way.add(sealed.task_id.encode())

    async def _notify(self, name: str) -> None:
        """Tell each market until it answers, then forget the batch."""
        record = self._batches.get(name.encode())
        if record is None:
            return
        message = BatchAnchored(record.sealed, record.task_ids, record.leaves, record.height)
        for market in record.markets:
            await self._tell(market, message)
        batch = Batch()
        self._batches.delete(batch, name.encode())
        self._since.pop(name, None)
        await self._db.commit(batch)

    async def _tell(self, market: str, message: BatchAnchored) -> None:
        pause_s, longest_s = NOTIFY_PAUSES_S
        for _ in range(NOTIFY_TRIES):
            with suppress(P2PError):
                await self._network.request(market, message, timeout_s=NOTIFY_TIMEOUT_S)
                return
            await trio.sleep(pause_s)
            pause_s = min(2 * pause_s, longest_s)


def _batch_of(record: OutboundRecord) -> str:
    return record.cause.removeprefix(CAUSE).rstrip(AGAIN)
