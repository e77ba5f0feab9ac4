"""A worker's committed attempts, opened to the validators of their draws.

A worker opens to every validator of the draw it was leased by, or of a later one of the same
epoch: which of them ask, and for which secrets, is not its business, as long as they are enough and
keep promises. So an orchestrator cannot make it look as if it withheld something.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, TypeVar

import msgspec

from node.offload import Offload
from node.roles.admission import DrawGate
from node.roles.jobstore import Committed, JobRecord, JobStore, job_key
from node.roles.outputs import file_chunks
from node.sandbox.errors import OutputRejected
from node.sandbox.outputs import open_output
from node.verification.challenge import joint_seed
from node.verification.claims import StatementInvalid
from node.verification.draws import Draw, is_redraw, seat_of
from node.verification.evidence import work_of
from node.verification.proofs import artifact_of
from node.wire.jobs import OUTPUT_OF_JOB, PROOF_OF_JOB, SUPERSEDED, TRACE, Challenge, Opening
from p2p.errors import RequestRefused
from p2p.identity import public_key_of
from p2p.network import BulkSource, Network

INLINE_BYTES = 256 * 1024
TRACE_FILE = "trace.bin"
PROOF_FILE = "proof"
CHUNK_BYTES = 1 << 20

A = TypeVar("A")


class Opener:
    """Answers challenges and sends what is too large for an answer."""

    def __init__(
        self, network: Network, store: JobStore, gate: DrawGate, chain_id: str, offload: Offload
    ) -> None:
        self._store = store
        self._gate = gate
        self._chain_id = chain_id
        self._offload = offload
        network.serve(Challenge, self._on_challenge)
        network.serve_bulk(TRACE, self._on_trace)
        network.serve_bulk(OUTPUT_OF_JOB, self._on_output)
        network.serve_bulk(PROOF_OF_JOB, self._on_proof)

    async def _on_challenge(self, sender: str, message: Challenge) -> Opening:
        """Open only after the result is fixed, and for secrets that were promised."""
        key = job_key(message.draw.task_id, message.nonce)
        record, committed = self._committed(key)
        self._require_seat(message.draw, sender)
        self._require_draw(record, message.draw)
        self._require_secrets(committed, message)
        if message.draw != record.draw:
            await self._store.put(key, msgspec.structs.replace(record, draw=message.draw))
        folder, draw = self._store.folder(key), message.draw
        with _files():
            return await self._offload(lambda: _opening(folder, draw, committed))

    def _require_draw(self, record: JobRecord, draw: Draw) -> None:
        """It is the one the attempt was leased by, or a later one of the epoch."""
        if draw == record.draw:
            return
        if not is_redraw(draw, record.draw):
            raise RequestRefused(SUPERSEDED, "the attempt is of another draw")
        try:
            self._gate.check(draw)
        except StatementInvalid as error:
            raise RequestRefused(error.code, str(error)) from error

    def _require_secrets(self, committed: Committed, message: Challenge) -> None:
        """They are those of enough validators of the draw, and keep the promises named."""
        secrets = {one.validator_key: one.secret for one in message.secrets}
        commitments = {
            one.validator_key: one.commitment
            for one in message.commitments
            if one.validator_key in secrets
        }
        try:
            joint_seed(committed.result, commitments, secrets, self._chain_id)
            for key in secrets:
                seat_of(message.draw, key)
        except StatementInvalid as error:
            raise RequestRefused(error.code, error.message) from error
        if len(secrets) < message.draw.needed:
            raise RequestRefused("secrets", "fewer secrets than the quorum needs")

    async def _on_trace(self, sender: str, argument: bytes) -> BulkSource:
        task_id, nonce = _decoded(argument, tuple[str, int])
        key = job_key(task_id, nonce)
        record, _ = self._committed(key)
        self._require_seat(record.draw, sender)
        open_trace = partial(open_output, self._store.folder(key), TRACE_FILE)
        with _files():
            size, digest = await self._offload(lambda: _size_and_digest(open_trace))
        return BulkSource(size=size, sha256=digest, chunks=file_chunks(open_trace, self._offload))

    async def _on_output(self, sender: str, argument: bytes) -> BulkSource:
        task_id, nonce, index = _decoded(argument, tuple[str, int, int])
        key = job_key(task_id, nonce)
        record, committed = self._committed(key)
        self._require_seat(record.draw, sender)
        manifest = committed.manifest
        if not 0 <= index < len(manifest.outputs):
            raise RequestRefused("missing", "the result has no such output")
        output = manifest.outputs[index]
        open_file = partial(open_output, self._store.folder(key), output.name)
        chunks = file_chunks(open_file, self._offload)
        return BulkSource(size=output.size, sha256=output.sha256, chunks=chunks)

    async def _on_proof(self, sender: str, argument: bytes) -> BulkSource:
        task_id, nonce = _decoded(argument, tuple[str, int])
        key = job_key(task_id, nonce)
        record, committed = self._committed(key)
        self._require_seat(record.draw, sender)
        proof = artifact_of(record.draw, committed.result)
        if proof is None:
            raise RequestRefused("missing", "the result has no proof but its own")
        open_file = partial(open_output, self._store.folder(key), PROOF_FILE)
        chunks = file_chunks(open_file, self._offload)
        return BulkSource(size=proof.size, sha256=proof.sha256, chunks=chunks)

    def _committed(self, key: str) -> tuple[JobRecord, Committed]:
        record = self._store.get(key)
        if record is None or record.committed is None:
            raise RequestRefused("missing", "no committed result of this attempt")
        return record, record.committed

    def _require_seat(self, draw: Draw, sender: str) -> None:
        try:
            seat_of(draw, public_key_of(sender))
        except StatementInvalid as error:
            raise RequestRefused(error.code, error.message) from error


@contextmanager
def _files() -> Iterator[None]:
    """What is not there cannot be shown: a proven result has no trace, and files can be lost."""
    try:
        yield
    except OutputRejected as error:
        raise RequestRefused("missing", str(error)) from error


def _opening(folder: Path, draw: Draw, committed: Committed) -> Opening:
    """All that was committed to, as far as it fits a message; the rest is fetched."""
    work, proof = work_of(draw.kind, draw.parameters), artifact_of(draw, committed.result)
    names = [output.name for output in committed.manifest.outputs]
    outputs = [_read_small(folder, name) for name in names]
    fits = all(outputs) and sum(map(len, outputs)) <= INLINE_BYTES
    return Opening(
        trace=committed.trace,
        steps=_read_small(folder, TRACE_FILE) if work.proof_system is None else b"",
        outputs=tuple(outputs) if fits else (),
        proof=b"" if proof is None else _read_small(folder, PROOF_FILE),
    )


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
