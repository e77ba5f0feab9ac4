"""A validator's seat in a quorum: commit to a secret, reveal it once, check, sign."""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import msgspec

from gpu.backend import Backend
from gpu.workloads import WORKLOADS
from gpu.workloads.base import JobContext
from node.config import ProtocolSection
from node.offload import Offload
from node.roles.admission import DrawGate
from node.verification.challenge import commitment_of, joint_seed, secret_of
from node.verification.statements import (
    Draw,
    Finding,
    StatementInvalid,
    Verdict,
    check_nonce,
    check_result,
    draw_bytes,
    result_bytes,
    seat_of,
    sign_verdict,
)
from node.wire.checks import (
    CommitmentAnswer,
    RequestCommitment,
    RequestReveal,
    RequestVerdict,
    RevealAnswer,
    VerdictAnswer,
)
from node.wire.jobs import TRACE, Secret, SecretCommitment
from p2p.encoding import u64
from p2p.errors import P2PError, RequestRefused
from p2p.identity import Identity, peer_id_of, public_key_of
from p2p.network import Network
from storage.database import Database
from storage.merkle import merkle_root
from storage.store import Batch
from storage.tables import Table

FETCH_TIMEOUT_S = 120.0
KEEP_REVEALS_MS = 3_600_000
"""How long after a draw's end it is remembered for which result its secret was revealed. Nothing
is revealed for a draw that is over, so this bounds how far the clock may be set back."""


T = TypeVar("T")


class RevealRecord(msgspec.Struct, frozen=True):
    """The one result of an attempt for which the secret was revealed."""

    result: bytes
    """SHA-256 of the result's signed bytes."""


class Checker:
    """Answers orchestrators: commitment, reveal, verdict."""

    def __init__(
        self,
        *,
        network: Network,
        db: Database,
        identity: Identity,
        chain_id: str,
        protocol: ProtocolSection,
        gate: DrawGate,
        backend: Backend[Any],
        scratch: Path,
        offload: Offload,
        now_ms: Callable[[], int],
    ) -> None:
        self._network = network
        self._db = db
        self._identity = identity
        self._chain_id = chain_id
        self._protocol = protocol
        self._gate = gate
        self._now_ms = now_ms
        self._backend = backend
        self._scratch = scratch
        self._offload = offload
        self._reveals = Table(db, "reveals", RevealRecord)
        self.verdicts = 0
        """Verdicts signed since the start."""
        network.serve(RequestCommitment, self._on_commitment)
        network.serve(RequestReveal, self._on_reveal)
        network.serve(RequestVerdict, self._on_verdict)

    async def _on_commitment(self, sender: str, message: RequestCommitment) -> CommitmentAnswer:
        self._require_orchestrator(sender, message.draw, message.nonce)
        secret = secret_of(self._identity, self._chain_id, message.draw, message.nonce)
        commitment = commitment_of(secret, self._chain_id, message.draw.task_id, message.nonce)
        return CommitmentAnswer(SecretCommitment(self._identity.public_key, commitment))

    async def _on_reveal(self, sender: str, message: RequestReveal) -> RevealAnswer:
        """Reveal for the first sound result of an attempt, durably, and for no other ever."""
        draw, result = message.draw, message.result
        self._require_orchestrator(sender, draw, result.nonce)
        self._require(lambda: check_result(result, message.manifest, draw, self._chain_id))
        digest = sha256(result_bytes(result, self._chain_id)).digest()
        key = self._reveal_key(draw, result.nonce)
        known = self._reveals.get(key)
        if known is None:
            batch = Batch()
            self._forget_past(batch)
            self._reveals.put(batch, key, RevealRecord(digest))
            self._db.stage(batch)
        elif known.result != digest:
            raise RequestRefused("revealed", "the secret was revealed for another result")
        await self._db.flushed()  # also by whoever repeats a request that has not been answered yet
        secret = secret_of(self._identity, self._chain_id, draw, result.nonce)
        return RevealAnswer(Secret(self._identity.public_key, secret))

    def _reveal_key(self, draw: Draw, nonce: int) -> bytes:
        """Begins with the draw's end, so that what is past comes first in the table."""
        digest = sha256(draw_bytes(draw, self._chain_id)).digest()
        return u64(draw.expires_ms) + digest + u64(nonce)

    def _forget_past(self, batch: Batch) -> None:
        stop = u64(max(0, self._now_ms() - KEEP_REVEALS_MS))
        past = [key for key, _ in self._reveals.items(stop=stop)]
        for key in past:
            self._reveals.delete(batch, key)

    async def _on_verdict(self, sender: str, message: RequestVerdict) -> VerdictAnswer:
        self._require_orchestrator(sender, message.draw, message.result.nonce)
        worker_key = self._require(
            lambda: check_result(message.result, message.manifest, message.draw, self._chain_id)
        )
        seed = self._seed(message)
        finding = await self._find(message, seed, peer_id_of(worker_key))
        verdict = Verdict(
            task_id=message.draw.task_id,
            epoch=message.draw.epoch,
            nonce=message.result.nonce,
            worker_address=message.result.worker_address,
            result_hash=bytes.fromhex(message.result.result_hash),
            finding=finding,
            seed=seed,
            validator_key=self._identity.public_key,
        )
        self.verdicts += 1
        return VerdictAnswer(sign_verdict(verdict, self._chain_id, self._identity))

    def _seed(self, message: RequestVerdict) -> bytes:
        """The joint seed, which counts only if our own secret is in it."""
        commitments = {one.validator_key: one.commitment for one in message.commitments}
        secrets = {one.validator_key: one.secret for one in message.secrets}
        result = message.result
        own = secret_of(self._identity, self._chain_id, message.draw, result.nonce)
        if secrets.get(self._identity.public_key) != own:
            raise RequestRefused("seed", "the seed leaves this validator's secret out")
        try:
            return joint_seed(result, commitments, secrets, self._chain_id)
        except StatementInvalid as error:
            raise RequestRefused("seed", error.message) from error

    async def _find(self, message: RequestVerdict, seed: bytes, worker: str) -> Finding:
        root = await self._offload(lambda: merkle_root(message.trace))
        if root != message.manifest.trace_root:
            return "withheld"  # what was opened is not what was committed
        if message.steps:
            return await self._check(message, seed, [message.steps])
        with tempfile.TemporaryFile(dir=self._scratch) as spool:
            fetched = await self._fetch_steps(message, worker, spool)
            if not fetched:
                return "withheld"
            spool.seek(0)
            return await self._check(message, seed, iter(lambda: spool.read(1 << 20), b""))

    async def _fetch_steps(self, message: RequestVerdict, worker: str, spool: BinaryIO) -> bool:
        """Spool the steps to disk as they come, so that the stream never stalls."""

        async def sink(chunk: bytes) -> None:
            await self._offload(lambda: spool.write(chunk))

        argument = msgspec.msgpack.encode((message.draw.task_id, message.result.nonce))
        try:
            await self._network.fetch(
                worker,
                TRACE,
                argument,
                sink,
                max_bytes=self._protocol.max_trace_bytes,
                timeout_s=FETCH_TIMEOUT_S,
            )
        except P2PError:
            return False
        return True

    async def _check(
        self, message: RequestVerdict, seed: bytes, chunks: Iterable[bytes]
    ) -> Finding:
        return await self._offload(lambda: self._run_check(message, seed, iter(chunks)))

    def _run_check(self, message: RequestVerdict, seed: bytes, chunks: Iterator[bytes]) -> Finding:
        """The workload's own check; blocking, native code without the interpreter's lock."""
        draw, manifest, result = message.draw, message.manifest, message.result
        workload = WORKLOADS[draw.kind]
        parameters = workload.from_canonical(draw.parameters)
        job = JobContext(self._chain_id, result.task_id, result.worker_address, result.nonce)
        steps = _regrouped(chunks, workload.step_bytes(parameters))
        output = manifest.outputs[0].sha256 if len(manifest.outputs) == 1 else b""
        found = workload.check(
            job, parameters, seed, message.trace, manifest.digest, output, steps, self._backend
        )
        return "valid" if found.valid else "invalid"

    def _require_orchestrator(self, sender: str, draw: Draw, nonce: int) -> None:
        """The draw is sound, seats us, and the sender is its orchestrator, at an attempt of it."""
        self._require(lambda: self._gate.check(draw))
        if draw.seats[0].key != public_key_of(sender):
            raise RequestRefused("sender", "only the draw's orchestrator asks for this")
        self._require(lambda: seat_of(draw, self._identity.public_key))
        self._require(lambda: check_nonce(nonce, draw, self._protocol.max_attempts))

    def _require(self, check: Callable[[], T]) -> T:
        try:
            return check()
        except StatementInvalid as error:
            raise RequestRefused(error.code, str(error)) from error


def _regrouped(chunks: Iterator[bytes], size: int) -> Iterator[bytes]:
    """The same bytes in pieces of `size`; a last shorter piece is passed on as it is."""
    buffer = bytearray()
    for chunk in chunks:
        buffer += chunk
        while len(buffer) >= size:
            yield bytes(buffer[:size])
            del buffer[:size]
    if buffer:
        yield bytes(buffer)
