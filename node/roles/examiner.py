"""Examining one attempt: have what the worker committed to, and check it.

What an orchestrator passes on counts only as far as it is what the worker committed to; else the
worker itself is asked. So no orchestrator can make a worker look as if it withheld something, and
no worker can show one thing to its orchestrator and nothing to the others.
"""

import logging
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from gpu.backend import Backend
from gpu.errors import GpuError
from gpu.workloads import WORKLOADS
from gpu.workloads.base import Finding as Checked
from gpu.workloads.base import JobContext
from node.config import ProtocolSection
from node.offload import Offload
from node.roles.evidence import WorkerSource
from node.roles.proofcheck import ProofCheck
from node.verification.statements import Finding
from node.wire.checks import RequestVerdict
from node.wire.jobs import TRACE
from node.workloads import size_of
from p2p.network import Network
from storage.merkle import merkle_root

log = logging.getLogger(__name__)

SMALL_UNITS = 2_000_000
"""A check of so many multiply-adds takes less than a thread costs."""

Trace = tuple[bytes, ...]


class Examiner:
    """Finds out what an attempt is worth."""

    def __init__(
        self,
        *,
        network: Network,
        chain_id: str,
        protocol: ProtocolSection,
        backend: Backend[Any],
        scratch: Path,
        offload: Offload,
    ) -> None:
        self._source = WorkerSource(network, offload)
        self._chain_id = chain_id
        self._protocol = protocol
        self._backend = backend
        self._scratch = scratch
        self._offload = offload
        self._proofs = ProofCheck(
            self._source, chain_id=chain_id, protocol=protocol, scratch=scratch, offload=offload
        )

    async def find(self, asked: RequestVerdict, seed: bytes, worker: str) -> Finding:
        """What this validator signs; its own trouble is nobody's fault."""
        try:
            if size_of(asked.draw.kind, asked.draw.parameters).proof_system is not None:
                return await self._proofs.find(asked, worker)
            return await self._find(asked, seed, worker)
        except (OSError, MemoryError, GpuError) as error:
            log.warning("task %s cannot be checked here: %r", asked.result.task_id, error)
            return "inconclusive"

    async def _find(self, asked: RequestVerdict, seed: bytes, worker: str) -> Finding:
        """First with what the orchestrator passed on, then with what the worker itself opens."""
        checked = await self._examine(asked, seed, worker, asked.trace, asked.steps)
        if checked is None or not checked.opened:
            opening = await self._source.open(asked, worker)
            if opening is None:
                return "withheld"
            checked = await self._examine(asked, seed, worker, opening.trace, opening.steps)
        if checked is None or not checked.opened:
            return "withheld"
        return "valid" if checked.valid else "invalid"

    async def _examine(
        self, asked: RequestVerdict, seed: bytes, worker: str, trace: Trace, steps: bytes
    ) -> Checked | None:
        """What the workload's check says; None if this is not the committed trace, or its steps
        are too large for a message and cannot be fetched."""
        if await self._root(trace) != asked.manifest.trace_root:
            return None
        if steps:
            return await self._check(asked, seed, trace, [steps])
        with tempfile.TemporaryFile(dir=self._scratch) as spool:
            argument = msgspec.msgpack.encode((asked.draw.task_id, asked.result.nonce))
            most = self._protocol.max_trace_bytes
            if await self._source.fetch(worker, TRACE, argument, spool, most) is None:
                return None
            spool.seek(0)
            return await self._check(asked, seed, trace, iter(lambda: spool.read(1 << 20), b""))

    async def _root(self, trace: Trace) -> bytes:
        if len(trace) <= 64:
            return merkle_root(trace)
        return await self._offload(lambda: merkle_root(trace))

    async def _check(
        self, asked: RequestVerdict, seed: bytes, trace: Trace, chunks: Iterable[bytes]
    ) -> Checked:
        def run() -> Checked:
            return self._run_check(asked, seed, trace, iter(chunks))

        small = size_of(asked.draw.kind, asked.draw.parameters).check_units <= SMALL_UNITS
        return run() if small else await self._offload(run)

    def _run_check(
        self, asked: RequestVerdict, seed: bytes, trace: Trace, chunks: Iterator[bytes]
    ) -> Checked:
        """The workload's own check; blocking, native code without the interpreter's lock."""
        draw, manifest, result = asked.draw, asked.manifest, asked.result
        workload = WORKLOADS[draw.kind]
        parameters = workload.from_canonical(draw.parameters)
        job = JobContext(self._chain_id, result.task_id, result.worker_address, result.nonce)
        steps = _regrouped(chunks, workload.step_bytes(parameters))
        output = manifest.outputs[0].sha256 if len(manifest.outputs) == 1 else b""
        return workload.check(
            job, parameters, seed, trace, manifest.digest, output, steps, self._backend
        )


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
