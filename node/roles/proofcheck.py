"""A validator's check of a result that is proven: have its output and its proof, and verify.

There are no steps to open, and the seed selects nothing. The worker itself is asked, never the
orchestrator, so that it alone answers for what cannot be had.
"""

import mmap
import tempfile
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path

import msgspec

from node.config import ProtocolSection
from node.offload import Offload
from node.roles.evidence import WorkerSource
from node.verification.evidence import ProofRef
from node.verification.proofs import artifact_of, verify_proof
from node.verification.statements import Finding, OutputRef
from node.wire.checks import RequestVerdict
from node.wire.jobs import OUTPUT_OF_JOB, PROOF_OF_JOB, Opening
from node.workloads import bounds_of

Piece = OutputRef | ProofRef
Bytes = bytes | mmap.mmap


class ProofCheck:
    """Finds out whether a result is proven."""

    def __init__(
        self,
        source: WorkerSource,
        *,
        chain_id: str,
        protocol: ProtocolSection,
        scratch: Path,
        offload: Offload,
    ) -> None:
        self._source = source
        self._chain_id = chain_id
        self._bounds = bounds_of(protocol)
        self._scratch = scratch
        self._offload = offload

    async def find(self, asked: RequestVerdict, worker: str) -> Finding:
        """What this validator signs about a result whose form was checked."""
        opening = await self._source.open(asked, worker)
        if opening is None:
            return "withheld"
        with ExitStack() as held:
            output = await self._output(asked, worker, opening, held)
            proof = await self._proof(asked, worker, opening, held)
            if output is None or proof is None:
                return "withheld"
            return "valid" if await self._holds(asked, output, proof) else "invalid"

    async def _output(
        self, asked: RequestVerdict, worker: str, opening: Opening, held: ExitStack
    ) -> Bytes | None:
        [output] = asked.manifest.outputs
        if opening.outputs:
            return _as_committed(opening.outputs[0], output)
        argument = msgspec.msgpack.encode((asked.draw.task_id, asked.result.nonce, 0))
        return await self._fetched(worker, OUTPUT_OF_JOB, argument, output, held)

    async def _proof(
        self, asked: RequestVerdict, worker: str, opening: Opening, held: ExitStack
    ) -> Bytes | None:
        """The proof that the result has by digest; nothing if it has it itself."""
        wanted = artifact_of(asked.draw, asked.result)
        if wanted is None:
            return b""
        if opening.proof:
            return _as_committed(opening.proof, wanted)
        argument = msgspec.msgpack.encode((asked.draw.task_id, asked.result.nonce))
        return await self._fetched(worker, PROOF_OF_JOB, argument, wanted, held)

    async def _fetched(
        self, worker: str, name: str, argument: bytes, wanted: Piece, held: ExitStack
    ) -> Bytes | None:
        """A piece from the worker, mapped from disk; None if it is not what was committed to."""
        spool = held.enter_context(tempfile.TemporaryFile(dir=self._scratch))  # noqa: SIM115
        info = await self._source.fetch(worker, name, argument, spool, wanted.size)
        if info is None or (info.size, info.sha256) != (wanted.size, wanted.sha256):
            return None
        spool.flush()
        return held.enter_context(mmap.mmap(spool.fileno(), 0, access=mmap.ACCESS_READ))

    async def _holds(self, asked: RequestVerdict, output: Bytes, proof: Bytes) -> bool:
        def run() -> bool:
            with memoryview(output) as view:
                finding = verify_proof(
                    asked.draw,
                    asked.result,
                    asked.manifest,
                    view,
                    bytes(proof),
                    chain_id=self._chain_id,
                    bounds=self._bounds,
                )
            return finding.valid

        return await self._offload(run)


def _as_committed(data: bytes, wanted: Piece) -> bytes | None:
    committed = len(data) == wanted.size and sha256(data).digest() == wanted.sha256
    return data if committed else None
