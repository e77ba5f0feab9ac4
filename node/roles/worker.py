"""A worker: takes leases, computes in the sandboxed child, commits, opens when challenged."""

import shutil
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar

import msgspec
import trio

from gpu.errors import GpuError
from gpu.workloads.base import JobContext, RunReport
from node.config import ProtocolSection
from node.offload import Offload
from node.roles.admission import DrawGate
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
    check_nonce,
    seat_of,
)
from node.wire.jobs import (
    OUTPUT_OF_JOB,
    SUPERSEDED,
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
MAX_REASON = 500
"""Characters of a reason in a message."""
SWEEP_PAUSE_S = 60.0
KEEP_MS = 60_000
"""How long after its draw's end an attempt is kept that nobody released."""
FOLDER_NAME_LENGTH = 32

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


class Committed(msgspec.Struct, frozen=True):
    """What an attempt is committed to."""

    result: ComputeResult
    manifest: Manifest
    trace: tuple[bytes, ...]


class JobRecord(msgspec.Struct, frozen=True):
    """A leased attempt, and its result once there is one."""

    draw: Draw
    nonce: int
    orchestrator: str
    commitments: tuple[SecretCommitment, ...]
    lease_s: float
    committed: Committed | None = None


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
        self._db = db
        self._author = author
        self._protocol = protocol
        self._gate = gate
        self._now_ms = now_ms
        self._places = places
        self._scratch = scratch
        self._offload = offload
        self._jobs = Table(db, "jobs", JobRecord)
        self._interrupted = [
            (key.decode(), record) for key, record in self._jobs.items() if record.committed is None
        ]
        self._running: dict[str, trio.CancelScope] = {}
        self._progress: dict[str, float] = {}
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

    def waits(self) -> Sequence[str]:
        """What is being computed, and how far it is, in sentences."""
        return [f"job {key} is {done:.0%} done" for key, done in self._progress.items()]

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Work until cancelled; begins by giving up what a crash left half done."""
        known = {self._folder(key.decode()).name for key, _ in self._jobs.items()}
        await self._offload(lambda: _remove_others(self._scratch, known))
        async with trio.open_nursery() as nursery:
            for key, record in self._interrupted:
                failure = _failure(record, "the worker restarted")
                nursery.start_soon(self._give_up, key, record, failure)
            for place in self._places:
                nursery.start_soon(self._serve_slot, place)
            nursery.start_soon(self._sweep_loop)
            task_status.started()

    async def _sweep_loop(self) -> None:
        """Forget attempts that are over and that their orchestrators never released."""
        while True:
            oldest = self._now_ms() - KEEP_MS
            for key, record in list(self._jobs.items()):
                if record.draw.expires_ms < oldest:
                    await self._forget(key.decode())
            await trio.sleep(SWEEP_PAUSE_S)

    async def _serve_slot(self, place: Compute) -> None:
        async for key in self._receive:
            record = self._jobs.get(key.encode())
            if record is not None and record.committed is None:  # else released while it waited
                await self._work(place, key, record)

    async def _work(self, place: Compute, key: str, record: JobRecord) -> None:
        """One attempt, from lease to commitment or failure, unless it is released meanwhile."""
        outcome: JobCommitted | JobFailed | None = _failure(record, "the lease ran out")
        with trio.move_on_after(record.lease_s) as scope:
            self._running[key] = scope
            try:
                outcome = await self._compute(place, key, record)
            except (SandboxError, GpuError, OSError) as error:
                outcome = _failure(record, str(error))
            finally:
                del self._running[key]
                self._progress.pop(key, None)
        if self._jobs.get(key.encode()) is None:
            await self._remove_folder(key)  # only now does nobody write there any more
        elif isinstance(outcome, JobCommitted):
            await self._report_result(key, record.orchestrator, outcome)
        elif outcome is not None:
            await self._give_up(key, record, outcome)

    async def _compute(self, place: Compute, key: str, record: JobRecord) -> JobCommitted | None:
        """Compute and commit; None if the attempt was released meanwhile."""
        draw, folder = record.draw, self._folder(key)
        await self._offload(lambda: _make_empty(folder))
        job = JobContext(self._author.chain_id, draw.task_id, self._author.address, record.nonce)
        progress = partial(self._progress.__setitem__, key)
        report = await place.run(draw.kind, job, draw.parameters, folder, progress)
        manifest = await self._offload(lambda: manifest_of(draw, folder, report))
        result = signed_result(draw, record.nonce, manifest, self._author)
        if self._jobs.get(key.encode()) is None:
            return None
        batch = Batch()
        committed = Committed(result, manifest, report.trace)
        self._jobs.put(batch, key.encode(), msgspec.structs.replace(record, committed=committed))
        await self._db.commit(batch)
        self.committed += 1
        return JobCommitted(epoch=draw.epoch, result=result, manifest=manifest)

    async def _give_up(self, key: str, record: JobRecord, failure: JobFailed) -> None:
        await self._forget(key)
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
        try:
            self._check_lease(sender, message)
        except StatementInvalid as error:
            return JobAnswer(Answer(taken=False, reason=str(error)[:MAX_REASON]))
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
            self._db.stage(batch)
        await self._db.flushed()
        return JobAnswer(Answer(taken=True))

    def _check_lease(self, sender: str, message: LeaseJob) -> None:
        draw = message.draw
        self._gate.check(draw)
        if draw.seats[0].key != public_key_of(sender):
            raise StatementInvalid("only the draw's orchestrator leases jobs", field="seats")
        check_nonce(message.nonce, draw, self._protocol.max_attempts)
        if not 0 < message.lease_s <= self._protocol.max_deadline_s:
            raise StatementInvalid("the lease has no sound length", field="lease_s")
        known = self._jobs.get(_key(draw.task_id, message.nonce).encode())
        if known is not None and (known.draw, known.commitments) != (draw, message.commitments):
            raise StatementInvalid("this attempt is leased otherwise already", field="nonce")

    async def _on_challenge(self, sender: str, message: Challenge) -> Opening:
        """Open only for the seed of the committed secrets, after the result is fixed."""
        key, record, committed = self._find_committed(sender, message.task_id, message.nonce)
        secrets = {one.validator_key: one.secret for one in message.secrets}
        commitments = {
            one.validator_key: one.commitment
            for one in record.commitments
            if one.validator_key in secrets
        }
        try:
            joint_seed(committed.result, commitments, secrets, self._author.chain_id)
        except StatementInvalid as error:
            raise RequestRefused(error.code, error.message) from error
        if len(secrets) < record.draw.needed:
            raise RequestRefused("secrets", "fewer secrets than the quorum needs")
        folder = self._folder(key)
        names = tuple(output.name for output in committed.manifest.outputs)
        steps, outputs = await self._offload(lambda: _small_files(folder, names))
        return Opening(trace=committed.trace, steps=steps, outputs=outputs)

    async def _on_release(self, sender: str, message: ReleaseJob) -> Ack:
        key = _key(message.task_id, message.nonce)
        record = self._jobs.get(key.encode())
        if record is not None and record.orchestrator == sender:
            await self._forget(key)
        return Ack()

    async def _on_trace(self, sender: str, argument: bytes) -> BulkSource:
        task_id, nonce = _decoded(argument, tuple[str, int])
        key, _, _ = self._find_committed(sender, task_id, nonce)
        open_trace = partial(open_output, self._folder(key), TRACE_FILE)
        size, digest = await self._offload(lambda: _size_and_digest(open_trace))
        return BulkSource(size=size, sha256=digest, chunks=file_chunks(open_trace, self._offload))

    async def _on_output(self, sender: str, argument: bytes) -> BulkSource:
        task_id, nonce, index = _decoded(argument, tuple[str, int, int])
        key, _, committed = self._find_committed(sender, task_id, nonce)
        manifest = committed.manifest
        if not 0 <= index < len(manifest.outputs):
            raise RequestRefused("missing", "the result has no such output")
        output = manifest.outputs[index]
        open_file = partial(open_output, self._folder(key), output.name)
        chunks = file_chunks(open_file, self._offload)
        return BulkSource(size=output.size, sha256=output.sha256, chunks=chunks)

    def _find_committed(
        self, sender: str, task_id: str, nonce: int
    ) -> tuple[str, JobRecord, Committed]:
        """The attempt with a result that a validator of its draw may ask about."""
        key = _key(task_id, nonce)
        record = self._jobs.get(key.encode())
        if record is None or record.committed is None:
            raise RequestRefused("missing", "no committed result of this attempt")
        try:
            seat_of(record.draw, public_key_of(sender))
        except StatementInvalid as error:
            raise RequestRefused(error.code, error.message) from error
        return key, record, record.committed

    async def _forget(self, key: str) -> None:
        """Drop the attempt: delete record and files; if it runs, the slot deletes them."""
        batch = Batch()
        self._jobs.delete(batch, key.encode())
        self._db.stage(batch)
        scope = self._running.get(key)
        if scope is None:
            await self._remove_folder(key)
        else:
            scope.cancel()
        await self._db.flushed()

    async def _remove_folder(self, key: str) -> None:
        folder = self._folder(key)
        await self._offload(lambda: shutil.rmtree(folder, ignore_errors=True))

    def _folder(self, key: str) -> Path:
        return self._scratch / sha256(key.encode()).hexdigest()[:FOLDER_NAME_LENGTH]


def _key(task_id: str, nonce: int) -> str:
    return f"{task_id}/{nonce}"


def _failure(record: JobRecord, reason: str) -> JobFailed:
    return JobFailed(record.draw.task_id, record.draw.epoch, record.nonce, reason[:MAX_REASON])


def _make_empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _remove_others(scratch: Path, known: Collection[str]) -> None:
    """Remove the folders of attempts that nobody knows any more."""
    for folder in scratch.iterdir():
        if len(folder.name) == FOLDER_NAME_LENGTH and folder.name not in known:
            shutil.rmtree(folder, ignore_errors=True)


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
