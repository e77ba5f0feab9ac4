"""A worker: takes leases, computes in the sandboxed child, commits, opens when challenged."""

import shutil
from collections.abc import Callable, Collection, Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar

import msgspec
import trio

from gpu.errors import GpuError
from gpu.workloads import WORKLOADS
from gpu.workloads.base import JobContext, RunReport
from node.config import ProtocolSection
from node.offload import Offload
from node.roles.outputs import file_chunks
from node.roles.results import manifest_of, signed_result
from node.sandbox.errors import SandboxError
from node.sandbox.outputs import open_output
from node.verification.author import Author
from node.verification.challenge import joint_seed
from node.verification.statements import (
    ComputeResult,
    Draw,
    Manifest,
    StatementInvalid,
    check_draw,
    seat_of,
)
from node.wire.jobs import (
    OUTPUT_OF_JOB,
    TRACE,
    Challenge,
    JobAnswer,
    JobCommitted,
    JobFailed,
    LeaseJob,
    Opening,
    ReleaseJob,
    SecretCommitment,
)
from node.wire.presence import Ack, Answer
from node.workloads import limits_of
from p2p.errors import P2PError, RequestRefused
from p2p.identity import public_key_of
from p2p.network import BulkSource, Network
from storage.database import Database
from storage.store import Batch
from storage.tables import Table

QUEUE_PER_SLOT = 8
"""Accepted jobs that may wait for a slot: enough to keep it busy between two messages."""
INLINE_BYTES = 256 * 1024
REPORT_TIMEOUT_S = 10.0
TRACE_FILE = "trace.bin"
CHUNK_BYTES = 1 << 20

A = TypeVar("A")


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


class JobRecord(msgspec.Struct, frozen=True):
    """A leased attempt, and its result once there is one."""

    draw: Draw
    nonce: int
    orchestrator: str
    commitments: tuple[SecretCommitment, ...]
    lease_s: float
    result: ComputeResult | None = None
    manifest: Manifest | None = None
    trace: tuple[bytes, ...] = ()


class Worker:
    """One worker with a slot for each place to compute."""

    def __init__(
        self,
        *,
        network: Network,
        db: Database,
        author: Author,
        protocol: ProtocolSection,
        markets: Collection[str],
        places: Sequence[Compute],
        scratch: Path,
        offload: Offload,
    ) -> None:
        self._network = network
        self._db = db
        self._author = author
        self._protocol = protocol
        self._markets = markets
        self._places = places
        self._scratch = scratch
        self._offload = offload
        self._jobs = Table(db, "jobs", JobRecord)
        self._running: dict[str, trio.CancelScope] = {}
        self._send, self._receive = trio.open_memory_channel[str](QUEUE_PER_SLOT * len(places))
        self.committed = 0
        """Results committed since the start."""
        network.serve(LeaseJob, self._on_lease)
        network.serve(Challenge, self._on_challenge)
        network.serve(ReleaseJob, self._on_release)
        network.serve_bulk(TRACE, self._on_trace)
        network.serve_bulk(OUTPUT_OF_JOB, self._on_output)

    @property
    def busy(self) -> int:
        """Jobs running or waiting for a slot."""
        return len(self._running) + self._send.statistics().current_buffer_used

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Work until cancelled; begins by giving up what a crash left half done."""
        async with trio.open_nursery() as nursery:
            for key, record in list(self._jobs.items()):
                if record.result is None:
                    failure = _failure(record, "the worker restarted")
                    nursery.start_soon(self._give_up, key.decode(), record, failure)
            for place in self._places:
                nursery.start_soon(self._serve_slot, place)
            task_status.started()

    async def _serve_slot(self, place: Compute) -> None:
        async for key in self._receive:
            record = self._jobs.get(key.encode())
            if record is not None:  # None: released while it waited
                await self._work(place, key, record)

    async def _work(self, place: Compute, key: str, record: JobRecord) -> None:
        """One attempt, from lease to commitment or failure."""
        with trio.move_on_after(record.lease_s) as scope:
            self._running[key] = scope
            try:
                committed = await self._compute(place, key, record)
            except (SandboxError, GpuError, OSError) as error:
                await self._give_up(key, record, _failure(record, str(error)))
                return
            finally:
                del self._running[key]
        if not scope.cancelled_caught:
            await self._report(record.orchestrator, committed)
        elif self._jobs.get(key.encode()) is not None:
            await self._give_up(key, record, _failure(record, "the lease ran out"))

    async def _compute(self, place: Compute, key: str, record: JobRecord) -> JobCommitted:
        draw, folder = record.draw, self._folder(key)
        await self._offload(lambda: _make_empty(folder))
        job = JobContext(self._author.chain_id, draw.task_id, self._author.address, record.nonce)
        report = await place.run(draw.kind, job, draw.parameters, folder, lambda _: None)
        manifest = await self._offload(lambda: manifest_of(draw, folder, report))
        result = signed_result(draw, record.nonce, manifest, self._author)
        batch = Batch()
        changes = {"result": result, "manifest": manifest, "trace": report.trace}
        self._jobs.put(batch, key.encode(), msgspec.structs.replace(record, **changes))
        await self._db.commit(batch)
        self.committed += 1
        return JobCommitted(epoch=draw.epoch, result=result, manifest=manifest)

    async def _give_up(self, key: str, record: JobRecord, failure: JobFailed) -> None:
        await self._forget(key)
        await self._report(record.orchestrator, failure)

    async def _report(self, orchestrator: str, message: JobCommitted | JobFailed) -> None:
        """Tell the orchestrator; if it is gone, its market will lease the task again."""
        try:
            await self._network.request(orchestrator, message, timeout_s=REPORT_TIMEOUT_S)
        except P2PError:
            return

    async def _on_lease(self, sender: str, message: LeaseJob) -> JobAnswer:
        try:
            self._check_lease(sender, message)
        except (StatementInvalid, GpuError) as error:
            return JobAnswer(Answer(taken=False, reason=str(error)))
        key = _key(message.draw.task_id, message.nonce)
        record = JobRecord(
            message.draw, message.nonce, sender, message.commitments, message.lease_s
        )
        if self._jobs.get(key.encode()) is None:
            batch = Batch()
            self._jobs.put(batch, key.encode(), record)
            try:
                self._send.send_nowait(key)
            except trio.WouldBlock:
                return JobAnswer(Answer(taken=False, reason="busy"))
            await self._db.commit(batch)
        return JobAnswer(Answer(taken=True))

    def _check_lease(self, sender: str, message: LeaseJob) -> None:
        draw = message.draw
        check_draw(draw, self._author.chain_id, self._markets)
        seat_of(draw, public_key_of(sender))
        if draw.kind not in WORKLOADS:
            raise StatementInvalid(f"this worker does not compute {draw.kind[:40]}", field="kind")
        if not 0 < message.lease_s <= self._protocol.max_deadline_s:
            raise StatementInvalid("the lease has no sound length", field="lease_s")
        workload = WORKLOADS[draw.kind]
        workload.check_limits(workload.from_canonical(draw.parameters), limits_of(self._protocol))

    async def _on_challenge(self, _sender: str, message: Challenge) -> Opening:
        """Open only for the seed of the committed secrets, after the result is fixed."""
        key = _key(message.task_id, message.nonce)
        record = self._jobs.get(key.encode())
        if record is None or record.result is None or record.manifest is None:
            raise RequestRefused("unknown", "no committed result of this attempt")
        secrets = {one.validator_key: one.secret for one in message.secrets}
        commitments = {
            one.validator_key: one.commitment
            for one in record.commitments
            if one.validator_key in secrets
        }
        try:
            joint_seed(record.result, commitments, secrets, self._author.chain_id)
        except StatementInvalid as error:
            raise RequestRefused(error.code, error.message) from error
        if len(secrets) < record.draw.needed:
            raise RequestRefused("secrets", "fewer secrets than the quorum needs")
        folder = self._folder(key)
        names = tuple(output.name for output in record.manifest.outputs)
        steps, outputs = await self._offload(lambda: _small_files(folder, names))
        return Opening(trace=record.trace, steps=steps, outputs=outputs)

    async def _on_release(self, sender: str, message: ReleaseJob) -> Ack:
        key = _key(message.task_id, message.nonce)
        record = self._jobs.get(key.encode())
        if record is not None and record.orchestrator == sender:
            await self._forget(key)
        return Ack()

    async def _on_trace(self, sender: str, argument: bytes) -> BulkSource:
        task_id, nonce = _decoded(argument, tuple[str, int])
        key, _ = self._opened(sender, task_id, nonce)
        open_trace = partial(open_output, self._folder(key), TRACE_FILE)
        size, digest = await self._offload(lambda: _size_and_digest(open_trace))
        return BulkSource(size=size, sha256=digest, chunks=file_chunks(open_trace, self._offload))

    async def _on_output(self, sender: str, argument: bytes) -> BulkSource:
        task_id, nonce, index = _decoded(argument, tuple[str, int, int])
        key, manifest = self._opened(sender, task_id, nonce)
        if not 0 <= index < len(manifest.outputs):
            raise RequestRefused("missing", "the result has no such output")
        output = manifest.outputs[index]
        open_file = partial(open_output, self._folder(key), output.name)
        chunks = file_chunks(open_file, self._offload)
        return BulkSource(size=output.size, sha256=output.sha256, chunks=chunks)

    def _opened(self, sender: str, task_id: str, nonce: int) -> tuple[str, Manifest]:
        """The committed attempt that a validator of its draw may fetch from."""
        key = _key(task_id, nonce)
        record = self._jobs.get(key.encode())
        if record is None or record.manifest is None:
            raise RequestRefused("unknown", "no committed result of this attempt")
        try:
            seat_of(record.draw, public_key_of(sender))
        except StatementInvalid as error:
            raise RequestRefused(error.code, error.message) from error
        return key, record.manifest

    async def _forget(self, key: str) -> None:
        """Drop the attempt: stop it if it runs, delete record and files."""
        batch = Batch()
        self._jobs.delete(batch, key.encode())
        await self._db.commit(batch)
        scope = self._running.get(key)
        if scope is not None:
            scope.cancel()
        folder = self._folder(key)
        await self._offload(lambda: shutil.rmtree(folder, ignore_errors=True))

    def _folder(self, key: str) -> Path:
        return self._scratch / sha256(key.encode()).hexdigest()[:32]


def _key(task_id: str, nonce: int) -> str:
    return f"{task_id}/{nonce}"


def _failure(record: JobRecord, reason: str) -> JobFailed:
    return JobFailed(record.draw.task_id, record.draw.epoch, record.nonce, reason[:500])


def _make_empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _small_files(folder: Path, names: Sequence[str]) -> tuple[bytes, tuple[bytes, ...]]:
    """The trace, and all outputs, as far as each fits a message; else nothing of it."""
    steps = _read_small(folder, TRACE_FILE)
    outputs = [_read_small(folder, name) for name in names]
    fits = all(outputs) and sum(map(len, outputs)) <= INLINE_BYTES
    return steps, tuple(outputs) if fits else ()


def _read_small(folder: Path, name: str) -> bytes:
    with open_output(folder, name) as file:
        data = file.read(INLINE_BYTES + 1)
    return data if len(data) <= INLINE_BYTES else b""


def _decoded(argument: bytes, kind: type[A]) -> A:
    try:
        return msgspec.msgpack.decode(argument, type=kind)
    except msgspec.DecodeError as error:
        raise RequestRefused("argument", f"is malformed: {error}") from error


def _size_and_digest(open_file: Callable[[], BinaryIO]) -> tuple[int, bytes]:
    hasher, size = sha256(), 0
    with open_file() as file:
        while chunk := file.read(CHUNK_BYTES):
            hasher.update(chunk)
            size += len(chunk)
    return size, hasher.digest()
