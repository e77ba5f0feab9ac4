"""The orchestrator: runs the attempts of the tasks leased to it, and reports what came out.

What it must not forget is stored before it is acted on: a lease before it is answered, an attempt
before it is sent, a verified result before it is reported. After a restart every stored lease is
taken up again where that leaves it.
"""

import logging
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import msgspec
import trio

from gpu.workloads import WORKLOADS
from node.config import ProtocolSection
from node.directory import Directory
from node.errors import Conflict, NotFound
from node.events import first_of
from node.roles.admission import DrawGate
from node.roles.attempt import Attempt, AttemptFailed, Verified, WorkerBusy
from node.roles.matching import Bench, pick_worker
from node.roles.outputs import OutputShelf
from node.verification.statements import JOB_STRIDE, Draw, StatementInvalid, nonce_of
from node.wire.jobs import SUPERSEDED, JobCommitted, JobFailed
from node.wire.leases import (
    MAX_OFFER,
    CancelLease,
    LeaseAnswers,
    OfferLeases,
    ReportFailure,
    ReportResult,
)
from node.wire.presence import Ack, Answer
from node.workloads import slow_core_s
from p2p.errors import P2PError, RequestRefused
from p2p.identity import Identity, peer_id_of, public_key_of
from p2p.network import Network
from storage.database import Database
from storage.store import Batch
from storage.tables import Table

log = logging.getLogger(__name__)

MAX_REASON = 500
"""Characters of a reason that is sent to a peer."""
MAX_LEASES = 256
"""Leases held at a time; more are refused as `busy`."""
JOBS_PER_SLOT = 4
"""Attempts sent to a worker's slot ahead of need."""
LEAST_WORK_S = 1.0
MOST_OF_IT = 0.9
BUSY_PAUSE_S = 0.05
RETRY_PAUSE_S = 2.0
"""Before a worker gets a task again that it failed."""
REPORT_TIMEOUT_S = 30.0
REPORT_PAUSE_S = 1.0
FINAL_REFUSALS = frozenset({Conflict.code, NotFound.code, StatementInvalid.code})
"""A market that says one of these will not take the result later either."""


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


class _Running(NamedTuple):
    """A lease in hand."""

    draw: Draw
    scope: trio.CancelScope


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
        gate: DrawGate,
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
        self._gate = gate
        self._directory = directory
        self._shelf = shelf
        self._now_ms = now_ms
        self._on_verified = on_verified
        self._leases = Table(db, "leases", LeaseRecord)
        self._running: dict[str, _Running] = {}
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
        return len(self._running)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run attempts until cancelled; takes up again what was leased before a restart."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            for _, record in list(self._leases.items()):
                self._start(record.draw)
            task_status.started()
            await trio.sleep_forever()

    async def _on_offer(self, sender: str, message: OfferLeases) -> LeaseAnswers:
        """Take what is new; what is held already is taken as it is, and goes on."""
        if len(message.draws) > MAX_OFFER:
            raise RequestRefused("offer", f"more than {MAX_OFFER} draws")
        answers, fresh, batch = [], list[Draw](), Batch()
        for draw in message.draws:
            try:
                held = self._check_offer(sender, draw, len(fresh))
            except StatementInvalid as error:
                answers.append(Answer(taken=False, reason=str(error)[:MAX_REASON]))
                continue
            answers.append(Answer(taken=True))
            if not held:
                self._leases.put(batch, draw.task_id.encode(), LeaseRecord(draw))
                fresh.append(draw)
        self._db.stage(batch)
        for draw in fresh:
            self._start(draw)
        await self._db.flushed()
        return LeaseAnswers(tuple(answers))

    def _check_offer(self, sender: str, draw: Draw, fresh: int) -> bool:
        """Whether this very draw is held already; raises StatementInvalid if it is not taken."""
        self._gate.check(draw)
        if draw.market_key != public_key_of(sender):
            raise StatementInvalid("the draw is another market's", field="market_key")
        if draw.seats[0].key != self._identity.public_key:
            raise StatementInvalid("the first seat is another validator's", field="seats")
        known = self._leases.get(draw.task_id.encode())
        if known is not None and known.draw == draw:
            return True
        if known is not None and not _follows(draw, known.draw):
            raise StatementInvalid(f"superseded by epoch {known.draw.epoch}", field="epoch")
        if len(self._running) + fresh >= MAX_LEASES:
            raise StatementInvalid("busy", field="leases")
        return False

    async def _on_cancel(self, sender: str, message: CancelLease) -> Ack:
        record = self._leases.get(message.task_id.encode())
        if (
            record is not None
            and peer_id_of(record.draw.market_key) == sender
            and record.draw.epoch == message.epoch
        ):
            running = self._running.get(message.task_id)
            if running is not None and running.draw == record.draw:
                running.scope.cancel()
            await self._forget(record.draw)
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
            raise RequestRefused(SUPERSEDED, "nobody waits for this attempt of yours any more")
        try:
            waiting.channel.send_nowait(message)
        except (trio.WouldBlock, trio.BrokenResourceError) as error:
            raise RequestRefused("answered", "the attempt has its answer") from error
        return Ack()

    def _start(self, draw: Draw) -> None:
        earlier = self._running.pop(draw.task_id, None)
        if earlier is not None:
            earlier.scope.cancel()
        if self._nursery is not None:
            running = self._running[draw.task_id] = _Running(draw, trio.CancelScope())
            self._nursery.start_soon(self._run_lease, running)

    async def _run_lease(self, running: _Running) -> None:
        """One task: attempts until one is verified, the epoch's are used up, or time is."""
        draw = running.draw
        try:
            with running.scope, trio.move_on_after(max(0.0, self._remaining_s(draw))):
                report = await self._attempts(draw)
                if report is not None:
                    await self._report(draw, report)
        finally:
            if self._running.get(draw.task_id) is running:
                del self._running[draw.task_id]
        await self._forget(draw)

    def _remaining_s(self, draw: Draw) -> float:
        return (draw.expires_ms - self._now_ms()) / 1000

    async def _attempts(self, draw: Draw) -> ReportResult | None:
        record = self._leases.get(draw.task_id.encode())
        if record is not None and record.report is not None:
            return record.report
        tried: set[str] = set()
        full: set[str] = set()
        begun = record.attempts if record else 0
        reason = "no attempt was made"
        while begun < self._protocol.max_attempts and (begun == 0 or self._has_time(draw)):
            await self._wait_quorum(draw)
            worker = await self._wait_worker(draw, tried, full)
            begun += 1
            await self._store(LeaseRecord(draw, begun))
            try:
                return await self._attempt(draw, begun, worker)
            except WorkerBusy:
                begun -= 1
                full.add(worker)
            except AttemptFailed as failure:
                reason = failure.reason
                log.warning(
                    "task %s, epoch %d, attempt %d by %s: %s",
                    draw.task_id,
                    draw.epoch,
                    begun,
                    worker,
                    reason,
                )
                tried.add(worker)
                self._strikes[worker] += failure.strikes
        await self._report_failure(draw, reason)
        return None

    async def _wait_quorum(self, draw: Draw) -> None:
        """Wait until enough drawn validators are connected: after a restart nobody is yet."""
        peers = [peer_id_of(seat.key) for seat in draw.seats]
        while sum(map(self._directory.is_connected, peers)) < draw.needed:
            await self._directory.changed.wait()

    async def _attempt(self, draw: Draw, number: int, worker: str) -> ReportResult:
        """One attempt on one worker; the attempt's number is unique over all epochs."""
        nonce = nonce_of(draw.epoch, number, self._protocol.max_attempts)
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
            self._work_s(draw),
            self._chain_id,
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

    def _work_s(self, draw: Draw) -> float:
        """What a worker gets for one attempt.

        Half of what is left, so that another worker can follow one that never answers; more only
        if a slow one needs it, as when the deadline is near, but always some is left to check.
        """
        left_s, slow_s = self._remaining_s(draw), _slow_s(draw)
        wanted_s = max(left_s / 2, min(slow_s, left_s * MOST_OF_IT))
        return min(self._protocol.job_lease_s + slow_s, wanted_s)

    def _has_time(self, draw: Draw) -> bool:
        """Whether another attempt could be done in time: work that comes too late is unpaid."""
        return self._work_s(draw) >= max(LEAST_WORK_S, _slow_s(draw) / 2)

    async def _wait_worker(self, draw: Draw, tried: set[str], full: set[str]) -> str:
        """The next worker; after a pause also one that was `full` when it was asked, and after a
        longer one also one that was `tried`: somebody else may turn up."""
        again_at = trio.current_time() + (RETRY_PAUSE_S if tried else 0)
        while True:
            benches = [
                Bench(one.peer_id, max(1, one.presence.slots))
                for one in self._directory.active("worker", draw.kind)
                if one.peer_id not in full
            ]
            picked = pick_worker(
                benches,
                task_id=f"{draw.task_id}/{draw.epoch}",
                load=self._load,
                strikes=self._strikes,
                tried=tried,
                queue_per_slot=JOBS_PER_SLOT,
            )
            rests = picked in tried and trio.current_time() < again_at
            if picked is not None and not rests:
                return picked
            with trio.move_on_after(BUSY_PAUSE_S if full else float("inf")):
                with trio.move_on_at(again_at if rests else float("inf")):
                    await first_of(self._freed, self._directory.changed)
            full.clear()

    async def _report(self, draw: Draw, report: ReportResult) -> None:
        """Store the verified result, then report it until the market answers."""
        await self._store(LeaseRecord(draw, report=report))
        market = peer_id_of(draw.market_key)
        while True:
            try:
                await self._network.request(market, report, timeout_s=REPORT_TIMEOUT_S)
            except RequestRefused as refusal:
                if refusal.code in FINAL_REFUSALS:
                    log.warning(
                        "task %s, epoch %d is unpaid: %s", draw.task_id, draw.epoch, refusal
                    )
                    return
                await trio.sleep(REPORT_PAUSE_S)
            except P2PError:
                await trio.sleep(REPORT_PAUSE_S)
            else:
                break
        batch = Batch()
        self._on_verified(batch, report, market)
        await self._forget(draw, batch)

    async def _report_failure(self, draw: Draw, reason: str) -> None:
        message = ReportFailure(draw.task_id, draw.epoch, reason[:MAX_REASON])
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

    async def _forget(self, draw: Draw, batch: Batch | None = None) -> None:
        """Delete the lease, unless a later one has its place, and what was kept for its report."""
        batch = Batch() if batch is None else batch
        record = self._leases.get(draw.task_id.encode())
        if record is None or record.draw != draw:
            record = None
        else:
            self._leases.delete(batch, draw.task_id.encode())
        await self._db.commit(batch)
        # A node that is the market as well has one shelf for both: there the outputs stay.
        if record and record.report and peer_id_of(draw.market_key) != self._network.peer_id:
            await self._shelf.drop(record.report.manifest)


def _report_of(draw: Draw, verified: Verified) -> ReportResult:
    return ReportResult(
        epoch=draw.epoch,
        result=verified.result,
        manifest=verified.manifest,
        verdicts=verified.verdicts,
        inline=verified.outputs,
    )


def _slow_s(draw: Draw) -> float:
    workload = WORKLOADS[draw.kind]
    return slow_core_s(workload.work_units(workload.from_canonical(draw.parameters)))


def _follows(draw: Draw, earlier: Draw) -> bool:
    """Whether the same market drew again for a later epoch."""
    return draw.market_key == earlier.market_key and draw.epoch > earlier.epoch
