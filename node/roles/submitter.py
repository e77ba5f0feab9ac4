"""Putting verified results on the L1: many under one `SUBMIT_RESULT`, then telling the markets.

A result is stored as pending in the batch in which its lease ends, moves to a sealed batch
together with the signed transaction, and leaves when its market has the anchor. Each step is one
write, so a crash between any two repeats a step and never skips one.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple

import msgspec
import trio

from node.config import ProtocolSection
from node.l1.sender import OutboundRecord, Sender
from node.l1.transactions import submit_result
from node.verification.author import Author
from node.verification.batches import MAX_BATCH, leaf_of, seal_batch
from node.verification.statements import ComputeResult
from node.wire.leases import BatchAnchored, ReportResult
from p2p.errors import P2PError
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
CAUSE, AGAIN = "results:", "+"


class PendingResult(msgspec.Struct, frozen=True):
    """A verified result that its market has, not yet in a batch."""

    result: ComputeResult
    market: str


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
        protocol: ProtocolSection,
        sender: Sender,
        gas_price: int,
    ) -> None:
        self._network = network
        self._db = db
        self._author = author
        self._protocol = protocol
        self._sender = sender
        self._gas_price = gas_price
        self._pending = Table(db, "pending-results", PendingResult)
        self._batches = Table(db, "result-batches", SealedBatch)
        self._since: dict[str, float] = {}
        self._arrived = trio.Event()
        self._anchored_send, self._anchored = trio.open_memory_channel[str](float("inf"))

    @property
    def pending(self) -> int:
        """Results that wait for a batch."""
        return sum(1 for _ in self._pending.items())

    def under_way(self) -> Iterator[SealedSince]:
        """Batches that are not in a block, or whose markets have not all heard of it."""
        for key, sealed in self._batches.items():
            since_s = self._since.get(key.decode(), trio.current_time())
            yield SealedSince(key.decode(), sealed, since_s)

    def add(self, batch: Batch, report: ReportResult, market: str) -> None:
        """Add the results that their market took, in the batch that ends their lease."""
        self.add_results(batch, [one.result for one in report.jobs], market)

    def add_results(self, batch: Batch, results: Iterable[ComputeResult], market: str) -> None:
        """Add results of a market's to a batch; they go to the chain once that is staged."""
        for one in results:
            key = f"{one.task_id}/{one.nonce}".encode()
            self._pending.put(batch, key, PendingResult(one, market))
        self._arrived.set()

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
            self._anchored_send.send_nowait(name)

    def on_lost(self, batch: Batch, record: OutboundRecord) -> None:
        """Its nonce went to something else: sign the batch again, under another cause."""
        sealed = self._batches.get(_batch_of(record).encode())
        if sealed is not None:
            self._submit(batch, f"{record.cause}{AGAIN}", sealed.sealed)

    def _submit(self, batch: Batch, cause: str, sealed: ComputeResult) -> None:
        draft = submit_result(msgspec.structs.asdict(sealed), gas_price=self._gas_price)
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
            self._arrived = trio.Event()
            while self._seal():
                await self._db.flushed()
            await self._arrived.wait()
            await trio.sleep(self._protocol.result_batch_s)

    def _seal(self) -> bool:
        """Stage one batch of pending results with its transaction; False if there are none."""
        limit = min(MAX_BATCH, self._protocol.max_result_batch)
        items = [item for item, _ in zip(self._pending.items(), range(limit), strict=False)]
        if not items:
            return False
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
        return True

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
