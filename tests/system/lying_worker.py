"""A worker whose results are wrong: `tmnode` with its place to compute replaced.

Its jobs take turns: one honest, then one of each lie. A lie is told consistently (digests, output
and trace agree with each other), so that nothing but the check of the mathematics can find it.
Each job is noted in `jobs.jsonl` in its data directory.
"""

import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path

import msgspec
from blake3 import blake3

from gpu.workloads import WORKLOADS
from gpu.workloads.base import JobContext, RunReport
from gpu.workloads.synthetic.key import chain_key, out_digest
from node import app
from node.cli.main import main
from node.sandbox.pool import ComputeChild, open_compute_child

LIES = ("none", "last", "middle", "another")


class Liar:
    """A compute child that spoils what the real one leaves behind."""

    def __init__(self, child: ComputeChild, notes: Path) -> None:
        self._child = child
        self._notes = notes
        self._lies = itertools.cycle(LIES)

    async def run(
        self,
        kind: str,
        job: JobContext,
        parameters: bytes,
        scratch: Path,
        progress: Callable[[float], None],
    ) -> RunReport:
        """Run the job as the real child would, or as another task's, then tell the lie."""
        lie = next(self._lies)
        computed = msgspec.structs.replace(job, task_id="another") if lie == "another" else job
        report = await self._child.run(kind, computed, parameters, scratch, progress)
        decoded = WORKLOADS[kind].from_canonical(parameters)
        if lie in ("last", "middle"):
            at = len(report.trace) - 1 if lie == "last" else len(report.trace) // 2
            report = _spoiled(report, scratch, decoded.matrix_size**2, at)
        digest = out_digest(chain_key(job, decoded), decoded, report.outputs[0].sha256)
        with self._notes.open("a") as file:
            file.write(json.dumps({"task_id": job.task_id, "nonce": job.nonce, "lie": lie}) + "\n")
        return msgspec.structs.replace(report, digest=digest)


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


@asynccontextmanager
async def open_liar(*, memory_limit_bytes: int, scratch_root: Path) -> AsyncIterator[Liar]:
    """In the place of `open_compute_child`."""
    async with open_compute_child(
        memory_limit_bytes=memory_limit_bytes, scratch_root=scratch_root
    ) as child:
        yield Liar(child, scratch_root.parent / "jobs.jsonl")


if __name__ == "__main__":
    app.open_compute_child = open_liar
    main()
