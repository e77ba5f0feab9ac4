"""A worker: takes leases, computes in the sandboxed child, and commits to what came out.

`jobstore` keeps its attempts, `opening` shows them to validators, `pace` tells what it can do in
time.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import msgspec
import trio

from gpu.errors import GpuError
from gpu.workloads.base import JobContext, RunReport
from node.config import ProtocolSection
from node.offload import Offload
from node.roles.admission import DrawGate
from node.roles.jobstore import Committed, JobRecord, JobStore, job_key
from node.roles.opening import Opener
from node.roles.orphans import watch_orchestrators
from node.roles.pace import Pace
from node.roles.results import evidence_in, manifest_of, signed_result
from node.sandbox.errors import SandboxError
from node.verification.author import Author
from node.verification.claims import StatementInvalid
from node.wire.jobs import (
    SUPERSEDED,
    JobAnswer,
    JobCommitted,
    JobFailed,
    LeaseJob,
    ReleaseJob,
)
from node.wire.presence import Ack, Answer
from node.workloads import size_of
from p2p.errors import P2PError, RequestRefused
from p2p.identity import public_key_of
from p2p.network import Network
from storage.database import Database

QUEUE_PER_SLOT = 8
"""Accepted jobs that may wait for a slot: enough to keep it busy between two messages."""
REPORT_TIMEOUT_S = 10.0
"""For an orchestrator to take a result or a failure."""
MAX_REASON = 500
"""Characters of a reason in a message."""
SWEEP_PAUSE_S = 60.0
"""Between looks for attempts that are over and were never released."""
KEEP_MS = 60_000
"""How long after its draw's end an attempt is kept that nobody released."""


class Compute(Protocol):
    """Where jobs run: the sandboxed child, or in-process in tests of whole networks."""

    async def run(
        self,
        kind: str,
        job: JobContext,
        parameters: bytes,
        scratch: Path,
        progress: Callable[[float], None],
    ) -> RunReport:
        """Run one job into `scratch`."""
        ...


class Worker:
    """One worker with a slot for each place to compute."""

    def __init__(
        self,
        *,
        network: Network,
        db: Database,
        author: Author,
        protocol: ProtocolSection,
        gate: DrawGate,
        places: Sequence[Compute],
        scratch: Path,
        offload: Offload,
        now_ms: Callable[[], int],
    ) -> None:
        self._network = network
        self._author = author
        self._protocol = protocol
        self._gate = gate
        self._now_ms = now_ms
        self._places = places
        self._offload = offload
        self._store = JobStore(db, scratch, offload)
        self._opener = Opener(network, self._store, gate, author.chain_id, offload)
        self._pace = Pace(len(places))
        self._interrupted = [one for one in self._store.items() if one[1].committed is None]
        self._running: dict[str, trio.CancelScope] = {}
        self._progress: dict[str, float] = {}
        self._send, self._receive = trio.open_memory_channel[str](QUEUE_PER_SLOT * len(places))
        self.committed = 0
        """Results committed since the start."""
        network.serve(LeaseJob, self._on_lease)
        network.serve(ReleaseJob, self._on_release)

    @property
    def busy(self) -> int:
        """Jobs running or waiting for a slot."""
        return self._pace.in_hand

    def attempts(self) -> Iterator[tuple[str, JobRecord]]:
        """All attempts that are kept, by their keys."""
        return self._store.items()

    def waits(self) -> Sequence[str]:
        """What is being computed, and how far it is, in sentences."""
        return [f"job {key} is {done:.0%} done" for key, done in self._progress.items()]

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Work until cancelled; begins by giving up what a crash left half done."""
        await self._store.remove_strays()
        async with trio.open_nursery() as nursery:
            for key, record in self._interrupted:
                nursery.start_soon(self._give_up, key, record, "the worker restarted")
            for place in self._places:
                nursery.start_soon(self._serve_slot, place, nursery)
            nursery.start_soon(self._sweep_loop)
            await nursery.start(watch_orchestrators, self._network, self._abandon)
            task_status.started()

    async def _sweep_loop(self) -> None:
        """Forget attempts that are over and that their orchestrators never released."""
        while True:
            oldest = self._now_ms() - KEEP_MS
            for key, record in list(self._store.items()):
                if record.draw.expires_ms < oldest:
                    await self._forget(key)
            await trio.sleep(SWEEP_PAUSE_S)

    async def _abandon(self, orchestrator: str) -> None:
        """It is gone, and with it whoever waited for these results."""
        for key, record in list(self._store.items()):
            if record.orchestrator == orchestrator and record.committed is None:
                await self._forget(key)

    async def _serve_slot(self, place: Compute, nursery: trio.Nursery) -> None:
        """One job after the other; orchestrators are told while the next one runs."""
        async for key in self._receive:
            record = self._store.get(key)
            if record is not None and record.committed is None:  # else released while it waited
                outcome = await self._work(place, key, record)
                nursery.start_soon(self._conclude, key, record, outcome)
            self._pace.leave(key)

    async def _work(self, place: Compute, key: str, record: JobRecord) -> JobCommitted | str | None:
        """One attempt: a commitment, or why there is none, or None if it was released."""
        outcome: JobCommitted | str | None = "the lease ran out"
        left_s = (record.until_ms - self._now_ms()) / 1000
        with trio.move_on_after(max(0.0, left_s)) as scope:
            self._running[key] = scope
            try:
                outcome = await self._compute(place, key, record)
            except (SandboxError, GpuError, OSError) as error:
                outcome = str(error)
            finally:
                del self._running[key]
                self._progress.pop(key, None)
        return outcome

    async def _conclude(
        self, key: str, record: JobRecord, outcome: JobCommitted | str | None
    ) -> None:
        if self._store.get(key) is None:
            await self._store.remove_folder(key)  # only now does nobody write there any more
        elif isinstance(outcome, JobCommitted):
            await self._report_result(key, record.orchestrator, outcome)
        elif outcome is not None:
            await self._give_up(key, record, outcome)

    async def _compute(self, place: Compute, key: str, record: JobRecord) -> JobCommitted | None:
        """Compute and commit; None if the attempt was released meanwhile."""
        draw, folder = record.draw, await self._store.make_folder(key)
        job = JobContext(self._author.chain_id, draw.task_id, self._author.address, record.nonce)
        units = size_of(draw.kind, draw.parameters).work_units

        def progress(done: float) -> None:
            self._progress[key] = done
            self._pace.advance(key, units, done)

        began = trio.current_time()
        report = await place.run(draw.kind, job, draw.parameters, folder, progress)
        self._pace.measured(units, trio.current_time() - began)
        manifest = await self._offload(lambda: manifest_of(draw, folder, report))
        evidence = await self._offload(lambda: evidence_in(draw, folder, report))
        result = signed_result(draw, record.nonce, manifest, self._author, evidence)
        if self._store.get(key) is None:
            return None
        committed = Committed(result, manifest, report.trace)
        await self._store.put(key, msgspec.structs.replace(record, committed=committed))
        self.committed += 1
        return JobCommitted(epoch=draw.epoch, result=result, manifest=manifest)

    async def _give_up(self, key: str, record: JobRecord, reason: str) -> None:
        await self._forget(key)
        draw = record.draw
        failure = JobFailed(draw.task_id, draw.epoch, record.nonce, reason[:MAX_REASON])
        with suppress(P2PError):  # if it is gone, its market will lease the task again
            await self._network.request(record.orchestrator, failure, timeout_s=REPORT_TIMEOUT_S)

    async def _report_result(self, key: str, orchestrator: str, message: JobCommitted) -> None:
        """Tell the orchestrator; one that has given the attempt up needs nothing kept."""
        try:
            await self._network.request(orchestrator, message, timeout_s=REPORT_TIMEOUT_S)
        except RequestRefused as refusal:
            if refusal.code == SUPERSEDED:
                await self._forget(key)
        except P2PError:
            return

    async def _on_lease(self, sender: str, message: LeaseJob) -> JobAnswer:
        draw, key = message.draw, job_key(message.draw.task_id, message.nonce)
        try:
            self._check_lease(sender, message, self._store.get(key))
        except StatementInvalid as error:
            return JobAnswer(Answer(taken=False, reason=str(error)[:MAX_REASON]))
        if self._store.get(key) is not None:
            await self._store.flushed()
            return JobAnswer(Answer(taken=True))
        units = size_of(draw.kind, draw.parameters).work_units
        if self._pace.is_late(units, message.lease_s) or not self._enqueue(key, units):
            return JobAnswer(Answer(taken=False, reason="busy"))
        until_ms = min(draw.expires_ms, self._now_ms() + int(message.lease_s * 1000))
        record = JobRecord(draw, message.nonce, sender, message.commitments, until_ms)
        await self._store.put(key, record)
        return JobAnswer(Answer(taken=True))

    def _enqueue(self, key: str, units: int) -> bool:
        try:
            self._send.send_nowait(key)
        except trio.WouldBlock:
            return False
        self._pace.enter(key, units)
        return True

    def _check_lease(self, sender: str, message: LeaseJob, known: JobRecord | None) -> None:
        draw = message.draw
        self._gate.check(draw)
        if draw.seats[0].key != public_key_of(sender):
            raise StatementInvalid("only the draw's orchestrator leases jobs", field="seats")
        self._gate.check_attempt(draw, message.nonce)
        if not 0 < message.lease_s <= self._protocol.max_deadline_s:
            raise StatementInvalid("the lease has no sound length", field="lease_s")
        if known is not None and (known.draw, known.commitments) != (draw, message.commitments):
            raise StatementInvalid("this attempt is leased otherwise already", field="nonce")

    async def _on_release(self, sender: str, message: ReleaseJob) -> Ack:
        key = job_key(message.task_id, message.nonce)
        record = self._store.get(key)
        if record is not None and record.orchestrator == sender:
            await self._forget(key)
        return Ack()

    async def _forget(self, key: str) -> None:
        """Drop the attempt: delete record and files; if it runs, the slot deletes them."""
        scope = self._running.get(key)
        if scope is not None:
            scope.cancel()
        else:
            self._pace.leave(key)
        await self._store.delete(key, folder=scope is None)
