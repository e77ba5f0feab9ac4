"""A worker whose results are wrong: its place to compute spoils or steals what it hands on.

`lies` names the lies that its jobs take turns with, `first-lie` the one of every first attempt. A
lie is told consistently (digests, output and trace agree with each other), so that nothing but the
check of the mathematics can find it.

    none            an honest result
    last, middle    one byte of that iterate is another
    another-task    the result of another task
    cpc1…           the result of the worker with this account
"""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
from attempts import is_first
from blake3 import blake3
from switches import Switches

from gpu.workloads import WORKLOADS
from gpu.workloads.base import JobContext, RunReport
from gpu.workloads.synthetic.key import chain_key, out_digest
from node.sandbox import pool


class Liar:
    """A compute child that spoils what the real one leaves behind."""

    def __init__(self, child: Any, switches: Switches) -> None:
        self._child = child
        self._switches = switches
        self._turns = itertools.count()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._child, name)

    async def run(
        self, kind: str, job: JobContext, parameters: bytes, scratch: Path, progress: Any
    ) -> RunReport:
        """Run the job as the real child would, or as somebody else's, then tell the lie."""
        lie = self._lie(job.nonce)
        if lie is None:
            return await self._child.run(kind, job, parameters, scratch, progress)
        report = await self._child.run(kind, _stolen(job, lie), parameters, scratch, progress)
        decoded: Any = WORKLOADS[kind].from_canonical(parameters)
        if lie in ("last", "middle"):
            at = len(report.trace) - 1 if lie == "last" else len(report.trace) // 2
            report = _spoiled(report, scratch, decoded.matrix_size**2, at)
        digest = out_digest(chain_key(job, decoded), decoded, report.outputs[0].sha256)
        self._switches.note("lies", task_id=job.task_id, nonce=job.nonce, lie=lie)
        return msgspec.structs.replace(report, digest=digest)

    def _lie(self, nonce: int) -> str | None:
        first, lies = self._switches.value("first-lie"), self._switches.value("lies")
        if first and is_first(nonce):
            return str(first)
        return str(lies[next(self._turns) % len(lies)]) if lies else None


def _stolen(job: JobContext, lie: str) -> JobContext:
    """The job whose result is told to be this one's."""
    if lie == "another-task":
        return msgspec.structs.replace(job, task_id="another")
    return msgspec.structs.replace(job, worker=lie) if lie.startswith("cpc1") else job


def _spoiled(report: RunReport, scratch: Path, size: int, at: int) -> RunReport:
    """One byte of iterate `at` is another, and the digests that hang on it fit."""
    trace = bytearray((scratch / "trace.bin").read_bytes())
    place = at * size + size // 3
    trace[place] = (trace[place] + 1) % 241
    (scratch / "trace.bin").write_bytes(trace)
    digests = list(report.trace)
    digests[at] = blake3(trace[at * size : (at + 1) * size]).digest()
    last = bytes(trace[-size:])
    (scratch / report.outputs[0].file_name).write_bytes(last)
    output = msgspec.structs.replace(report.outputs[0], sha256=sha256(last).digest())
    return msgspec.structs.replace(report, outputs=(output,), trace=tuple(digests))


def let_lie(switches: Switches) -> None:
    """Put a liar in the place of every compute child."""
    open_child = pool.open_compute_child

    @asynccontextmanager
    async def open_liar(**limits: Any) -> AsyncIterator[Liar]:
        async with open_child(**limits) as child:
            yield Liar(child, switches)

    pool.open_compute_child = open_liar  # type: ignore[assignment]
