"""Computing a disputed task again, wholly: what came out is all that a juror signs.

In the validator's own process, on its own backend, as checks are: what a jury names has passed the
network's limits. Every kernel gives the same bits, so whose device it was does not matter.
"""

import shutil
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import trio

from gpu.backend import Backend
from gpu.workloads import WORKLOADS
from gpu.workloads.base import JobContext, Progress
from node.offload import Offload
from node.roles.results import manifest_of
from node.verification.juries import Jury, JuryJob
from node.verification.statements import manifest_digest

PREFIX = "jury-"
"""Of the folders in which jobs are computed again."""


class Stopped(Exception):
    """Nobody waits for this any more."""


class Reexecution:
    """Runs the jobs of juries, one after the other."""

    def __init__(
        self, *, chain_id: str, backend: Backend[Any], scratch: Path, offload: Offload
    ) -> None:
        self._chain_id = chain_id
        self._backend = backend
        self._scratch = scratch
        self._offload = offload
        self._turn = trio.Lock()

    async def remove_strays(self) -> None:
        """Delete what a crash left behind; before anything is computed."""
        for folder in self._scratch.glob(f"{PREFIX}*"):
            await self._offload(partial(shutil.rmtree, folder, ignore_errors=True))

    async def hashes(self, jury: Jury) -> tuple[bytes, ...]:
        """The result hash of each job; raises OSError, MemoryError or GpuError."""
        async with self._turn:
            return tuple([await self._hash_of(jury, job) for job in jury.jobs])

    async def _hash_of(self, jury: Jury, job: JuryJob) -> bytes:
        """Cancelling ends a running job at its next report of progress, within about 250 ms."""
        stopped = trio.Event()

        def progress(_: float) -> None:
            if stopped.is_set():
                raise Stopped

        async with trio.open_nursery() as nursery:
            nursery.start_soon(_set_when_cancelled, stopped)
            try:
                found = await self._offload(lambda: self._run(jury, job, progress))
            except Stopped:
                await trio.lowlevel.checkpoint_if_cancelled()
                raise
            nursery.cancel_scope.cancel()
        return found

    def _run(self, jury: Jury, job: JuryJob, progress: Progress) -> bytes:
        """One job in a folder of its own; blocking."""
        workload = WORKLOADS[jury.kind]
        parameters = workload.from_canonical(jury.parameters)
        context = JobContext(self._chain_id, jury.task_id, job.worker_address, job.nonce)
        with tempfile.TemporaryDirectory(prefix=PREFIX, dir=self._scratch) as name:
            folder = Path(name)
            report = workload.run(context, parameters, self._backend, folder, progress)
            return manifest_digest(manifest_of(jury, folder, report), self._chain_id)


async def _set_when_cancelled(stopped: trio.Event) -> None:
    try:
        await trio.sleep_forever()
    finally:
        stopped.set()
