"""The orchestrator: runs the attempts of the tasks leased to it, and reports what came out.

What it must not forget is stored before it is acted on: a lease before it is answered, an attempt
before it is sent, a verified result before it is reported. After a restart every stored lease is
taken up again where that leaves it.
"""

from collections import Counter
from collections.abc import Callable, Collection
from typing import NamedTuple

import msgspec
import trio

from gpu.workloads import WORKLOADS
from node.config import ProtocolSection
from node.directory import Directory
from node.events import first_of
from node.roles.attempt import Attempt, AttemptFailed, Verified, WorkerBusy
from node.roles.matching import Bench, pick_worker
from node.roles.outputs import OutputShelf
from node.verification.statements import JOB_STRIDE, Draw, StatementInvalid, check_draw
from node.wire.jobs import JobCommitted, JobFailed
from node.wire.leases import (
    CancelLease,
    LeaseAnswers,
    OfferLeases,
    ReportFailure,
    ReportResult,
)
from node.wire.presence import Ack, Answer
from p2p.errors import P2PError, RequestRefused
from p2p.identity import Identity, peer_id_of, public_key_of
from p2p.network import Network
from storage.database import Database
from storage.store import Batch
from storage.tables import Table

MAX_LEASES = 256
"""Leases held at a time; more are refused as `busy`."""
JOBS_PER_SLOT = 4
"""Attempts sent to a worker's slot ahead of need."""
BUSY_PAUSE_S = 0.05
REPORT_TIMEOUT_S = 30.0
REPORT_PAUSE_S = 1.0


class LeaseRecord(msgspec.Struct, frozen=True):
    """A task leased to this orchestrator."""

    draw: Draw
    attempts: int = 0
    """Attempts begun in this epoch."""
    report: ReportResult | None = None
    """The verified result, until the market has it."""


class _Waiting(NamedTuple):
    """The worker whose message an attempt waits for."""

    worker: str
    channel: trio.MemorySendChannel[JobCommitted | JobFailed]


class Orchestrator:
    """One validator's orchestrating half."""

    def __init__(
        self,
        *,
        network: Network,
        db: Database,
        identity: Identity,
        chain_id: str,
        protocol: ProtocolSection,
        markets: Collection[str],
        directory: Directory,
        shelf: OutputShelf,
        now_ms: Callable[[], int],
        on_verified: Callable[[Batch, ReportResult, str], None],
    ) -> None:
        self._network = network
        self._db = db
        self._identity = identity
        self._chain_id = chain_id
        self._protocol = protocol
        self._markets = markets
        self._directory = directory
        self._shelf = shelf
        self._now_ms = now_ms
        self._on_verified = on_verified
        self._leases = Table(db, "leases", LeaseRecord)
        self._scopes: dict[str, trio.CancelScope] = {}
        self._nursery: trio.Nursery | None = None
        self._load: Counter[str] = Counter()
        self._strikes: Counter[str] = Counter()
        self._freed = trio.Event()
        self._outcomes: dict[tuple[str, int], _Waiting] = {}
        network.serve(OfferLeases, self._on_offer)
        network.serve(CancelLease, self._on_cancel)
        network.serve(JobCommitted, self._on_committed)
        network.serve(JobFailed, self._on_failed)

    @property
    def leases(self) -> int:
        """Tasks in hand."""
        return len(self._scopes)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run attempts until cancelled; takes up again what was leased before a restart."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            for _, record in list(self._leases.items()):
                self._start(record.draw)
            task_status.started()
            await trio.sleep_forever()

    async def _on_offer(self, sender: str, message: OfferLeases) -> LeaseAnswers:
        answers, batch = [], Batch()
        for draw in message.draws:
            try:
                self._check_offer(sender, draw)
            except StatementInvalid as error:
                answers.append(Answer(taken=False, reason=str(error)))
                continue
            known = self._leases.get(draw.task_id.encode())
            if known is None or known.draw.epoch < draw.epoch:
                self._leases.put(batch, draw.task_id.encode(), LeaseRecord(draw))
            answers.append(Answer(taken=True))
        await self._db.commit(batch)
        for draw, answer in zip(message.draws, answers, strict=True):
            if answer.taken:
                self._start(draw)
        return LeaseAnswers(tuple(answers))

    def _check_offer(self, sender: str, draw: Draw) -> None:
        check_draw(draw, self._chain_id, self._markets)
        if draw.market_key != public_key_of(sender):
            raise StatementInvalid("the draw is another market's", field="market_key")
        if draw.seats[0].key != self._identity.public_key:
            raise StatementInvalid("the first seat is another validator's", field="seats")
        if draw.kind not in WORKLOADS:
            raise StatementInvalid(f"no orchestrator for {draw.kind[:40]}", field="kind")
        if len(self._scopes) >= MAX_LEASES:
            raise StatementInvalid("busy", field="leases")

    async def _on_cancel(self, sender: str, message: CancelLease) -> Ack:
        record = self._leases.get(message.task_id.encode())
        if (
            record is not None
            and _market_of(record) == sender
            and record.draw.epoch == message.epoch
        ):
            await self._drop(message.task_id)
        return Ack()

    async def _on_committed(self, sender: str, message: JobCommitted) -> Ack:
        return self._deliver(sender, message, message.result.task_id, message.result.nonce)

    async def _on_failed(self, sender: str, message: JobFailed) -> Ack:
        return self._deliver(sender, message, message.task_id, message.nonce)

    def _deliver(
        self, sender: str, message: JobCommitted | JobFailed, task_id: str, nonce: int
    ) -> Ack:
        """Hand a worker's message to the attempt that waits for it, from no other worker."""
        waiting = self._outcomes.get((task_id, nonce))
        if waiting is None or waiting.worker != sender:
            raise RequestRefused("superseded", "nobody waits for this attempt of yours any more")
        try:
            waiting.channel.send_nowait(message)
        except (trio.WouldBlock, trio.BrokenResourceError) as error:
            raise RequestRefused("superseded", "the attempt has its answer") from error
        return Ack()

    def _start(self, draw: Draw) -> None:
        running = self._scopes.pop(draw.task_id, None)
        if running is not None:
            running.cancel()
        if self._nursery is not None:
            scope = self._scopes[draw.task_id] = trio.CancelScope()
            self._nursery.start_soon(self._run_lease, draw, scope)

    async def _run_lease(self, draw: Draw, scope: trio.CancelScope) -> None:
        """One task: attempts until one is verified, the epoch's are used up, or time is."""
        remaining_s = (draw.expires_ms - self._now_ms()) / 1000
        try:
            with scope, trio.move_on_after(max(0.0, remaining_s)):
                report = await self._attempts(draw)
                if report is not None:
                    await self._report(draw, report)
        finally:
            if self._scopes.get(draw.task_id) is scope:
                del self._scopes[draw.task_id]
        if not scope.cancelled_caught:
            await self._drop(draw.task_id)

    async def _attempts(self, draw: Draw) -> ReportResult | None:
        record = self._leases.get(draw.task_id.encode())
        if record is not None and record.report is not None:
            return record.report
        tried: set[str] = set()
        begun = record.attempts if record else 0
        reason = "no attempt was made"
        while begun < self._protocol.max_attempts:
            worker = await self._wait_worker(draw, tried)
            begun += 1
            await self._store(LeaseRecord(draw, begun))
            try:
                return await self._attempt(draw, begun, worker)
            except WorkerBusy:
                begun -= 1
                await self._pause()
            except AttemptFailed as failure:
                reason = failure.reason
                tried.add(worker)
                self._strikes[worker] += failure.strikes
        await self._report_failure(draw, reason)
        return None

    async def _attempt(self, draw: Draw, number: int, worker: str) -> ReportResult:
        """One attempt on one worker; the attempt's number is unique over all epochs."""
        nonce = draw.epoch * self._protocol.max_attempts + number
        if nonce >= JOB_STRIDE:
            raise AttemptFailed("the task has no attempt numbers left")
        send, receive = trio.open_memory_channel[JobCommitted | JobFailed](1)
        self._outcomes[draw.task_id, nonce] = _Waiting(worker, send)
        self._load[worker] += 1
        attempt = Attempt(
            self._network,
            self._directory,
            draw,
            nonce,
            worker,
            self._chain_id,
            self._protocol,
            self._shelf,
        )
        try:
            return _report_of(draw, await attempt.run(receive))
        finally:
            self._load[worker] -= 1
            self._freed.set()
            self._freed = trio.Event()
            del self._outcomes[draw.task_id, nonce]
            with trio.CancelScope(shield=True), trio.move_on_after(1):
                await attempt.release()

    async def _wait_worker(self, draw: Draw, tried: set[str]) -> str:
        while True:
            benches = [
                Bench(one.peer_id, max(1, one.presence.slots))
                for one in self._directory.active("worker", draw.kind)
            ]
            picked = pick_worker(
                benches,
                task_id=draw.task_id,
                load=self._load,
                strikes=self._strikes,
                tried=tried,
                queue_per_slot=JOBS_PER_SLOT,
            )
            if picked is not None:
                return picked
            await first_of(self._freed, self._directory.changed)

    async def _pause(self) -> None:
        """A worker was full with other orchestrators' jobs: wait a little before asking again."""
        with trio.move_on_after(BUSY_PAUSE_S):
            await self._freed.wait()

    async def _report(self, draw: Draw, report: ReportResult) -> None:
        """Store the verified result, then report it until the market answers."""
        await self._store(LeaseRecord(draw, report=report))
        market = peer_id_of(draw.market_key)
        while True:
            try:
                await self._network.request(market, report, timeout_s=REPORT_TIMEOUT_S)
            except RequestRefused:
                return  # superseded: another epoch has the task, this result stays unpaid
            except P2PError:
                await trio.sleep(REPORT_PAUSE_S)
            else:
                break
        batch = Batch()
        self._on_verified(batch, report, market)
        await self._db.commit(batch)
        await self._shelf.drop(report.manifest)

    async def _report_failure(self, draw: Draw, reason: str) -> None:
        message = ReportFailure(draw.task_id, draw.epoch, reason[:500])
        try:
            await self._network.request(
                peer_id_of(draw.market_key), message, timeout_s=REPORT_TIMEOUT_S
            )
        except P2PError:
            return  # the lease runs out at the market by itself

    async def _store(self, record: LeaseRecord) -> None:
        batch = Batch()
        self._leases.put(batch, record.draw.task_id.encode(), record)
        await self._db.commit(batch)

    async def _drop(self, task_id: str) -> None:
        batch = Batch()
        self._leases.delete(batch, task_id.encode())
        await self._db.commit(batch)
        scope = self._scopes.get(task_id)
        if scope is not None:
            scope.cancel()


def _report_of(draw: Draw, verified: Verified) -> ReportResult:
    return ReportResult(
        epoch=draw.epoch,
        result=verified.result,
        manifest=verified.manifest,
        verdicts=verified.verdicts,
        inline=verified.outputs,
    )


def _market_of(record: LeaseRecord) -> str:
    return peer_id_of(record.draw.market_key)
