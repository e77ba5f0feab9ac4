"""Which way a verified result goes to the L1: in a transaction of its worker's, or in a batch.

On a chain that verifies proofs, a proven result that fits a transaction is offered to its worker.
If the worker does not take it, or no block has it in time, or the market does not find it there, it
goes into a batch as all others do. What is offered is stored in the batch that ends its lease.
"""

from collections.abc import Callable, Sequence

import msgspec
import trio

from node.roles.submitter import Submitter
from node.verification.batches import leaf_of
from node.verification.own import own_draft
from node.verification.statements import Judgement, worker_key_of
from node.wire.leases import BatchAnchored, ReportResult
from node.wire.publishing import PublishAnswer, PublishResult
from p2p.errors import P2PError, RequestRefused
from p2p.identity import peer_id_of
from p2p.network import Network
from storage.database import Database
from storage.store import Batch
from storage.tables import Table

WITHIN_MS = 60_000
"""For a worker's transaction to be in a block, and its market to know."""
LOOK_AFTER_S = 0.1
"""After results came, which are stored when their leases have ended."""
ASK_PAUSE_S = 1.0
"""Between questions how far it is."""
ASK_TIMEOUT_S = 10.0
"""For a worker to say how far its transaction is, and for a market to find it in its block."""
MAX_UNHEARD = 5
"""Questions in a row without an answer: a node that has just started has not met everybody."""
NOT_YET = "block"
"""Refusal of a market that has not seen the block."""


class HandedResult(msgspec.Struct, frozen=True):
    """A result that its worker was offered to send."""

    judgement: Judgement
    output: bytes
    market: str
    until_ms: int


class Handover:
    """One validator's results, from its markets' word that they took them to the chain."""

    def __init__(
        self,
        *,
        network: Network,
        db: Database,
        chain_id: str,
        submitter: Submitter,
        proofs_on_chain: bool,
        now_ms: Callable[[], int],
    ) -> None:
        self._network = network
        self._db = db
        self._chain_id = chain_id
        self._submitter = submitter
        self._proofs_on_chain = proofs_on_chain
        self._now_ms = now_ms
        self._handed = Table(db, "handed-results", HandedResult)
        self._under_way: set[bytes] = set()
        self._arrived = trio.Event()

    @property
    def pending(self) -> int:
        """Results that their workers are sending."""
        return sum(1 for _ in self._handed.items())

    def add(self, batch: Batch, report: ReportResult, market: str) -> None:
        """Add the results that their market took, in the batch that ends their lease."""
        others = []
        for index, one in enumerate(report.jobs):
            outputs = report.inline[index] if report.inline else ()
            if not self._offers(one, outputs):
                others.append(one)
                continue
            key = f"{one.result.task_id}/{one.result.nonce}".encode()
            until_ms = self._now_ms() + WITHIN_MS
            self._handed.put(batch, key, HandedResult(one, outputs[0], market, until_ms))
            self._arrived.set()
        if others:
            self._submitter.add(batch, _with(report, *others), market)

    def _offers(self, one: Judgement, outputs: Sequence[bytes]) -> bool:
        if not self._proofs_on_chain or len(outputs) != 1:
            return False
        return own_draft(one, outputs[0], self._chain_id, gas_price=0) is not None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """See each through until cancelled; takes up what a restart interrupted."""
        async with trio.open_nursery() as nursery:
            task_status.started()
            while True:
                self._arrived = trio.Event()
                for key, handed in list(self._handed.items()):
                    if key not in self._under_way:
                        self._under_way.add(key)
                        nursery.start_soon(self._see_through, key, handed)
                await self._arrived.wait()
                await trio.sleep(LOOK_AFTER_S)

    async def _see_through(self, key: bytes, handed: HandedResult) -> None:
        is_known = False
        with trio.move_on_after(max(0.0, (handed.until_ms - self._now_ms()) / 1000)):
            is_known = await self._anchored(handed)
        batch = Batch()
        self._handed.delete(batch, key)
        if not is_known:
            one = handed.judgement
            report = ReportResult(one.draw.task_id, one.draw.epoch, (one,))
            self._submitter.add(batch, report, handed.market)
        self._db.stage(batch)
        self._under_way.discard(key)
        await self._db.flushed()

    async def _anchored(self, handed: HandedResult) -> bool:
        """Whether the market has the result's place in a block."""
        one = handed.judgement
        worker = peer_id_of(worker_key_of(one.result))
        unheard = 0
        while unheard < MAX_UNHEARD:
            answer = await self._ask(worker, PublishResult(one, handed.output))
            unheard = unheard + 1 if answer is None else 0
            if answer is not None and not answer.taken:
                return False
            if answer is not None and answer.height >= 0:
                told = await self._tell(handed, answer.height)
                if told is not None:
                    return told
            await trio.sleep(ASK_PAUSE_S)
        return False

    async def _ask(self, worker: str, message: PublishResult) -> PublishAnswer | None:
        """The worker's answer; None if it was not heard."""
        try:
            answer = await self._network.request(worker, message, timeout_s=ASK_TIMEOUT_S)
        except RequestRefused as refusal:
            return PublishAnswer(taken=False, reason=str(refusal))
        except P2PError:
            return None
        return answer if isinstance(answer, PublishAnswer) else PublishAnswer(taken=False)

    async def _tell(self, handed: HandedResult, height: int) -> bool | None:
        """Whether the market found it in that block; None if that is not known yet."""
        result = handed.judgement.result
        leaves = (leaf_of(result, self._chain_id),)
        message = BatchAnchored(result, (result.task_id,), leaves, height)
        try:
            await self._network.request(handed.market, message, timeout_s=ASK_TIMEOUT_S)
        except RequestRefused as refusal:
            return None if refusal.code == NOT_YET else False
        except P2PError:
            return None
        return True


def _with(report: ReportResult, *jobs: Judgement) -> ReportResult:
    return msgspec.structs.replace(report, jobs=jobs, inline=())
