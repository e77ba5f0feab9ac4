"""A warm compute child that is there for the next job, whatever happened to the last one.

A child that died, broke the protocol or did not stop in time is replaced at once: the new process
is started without waiting for it, warms up by itself, and the next job asks whether it is ready.
A job that ends badly costs the child nothing as long as it answers.
"""

import contextlib
import logging
import math
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from gpu.workloads.base import JobContext, Progress, RunReport
from node.printable import printable
from node.sandbox import confine, frames
from node.sandbox.errors import (
    ComputeCrashed,
    ComputeFailed,
    LayerMissing,
    OutOfMemory,
    OutputRejected,
    SandboxNotStarted,
    TimeLimitExceeded,
)
from node.sandbox.launch import Launch, Program, ResourceLimits, plan_launch
from node.sandbox.outputs import check_outputs
from node.sandbox.parent import ChildProcess, spawn

log = logging.getLogger(__name__)

REQUIRED_LAYERS = frozenset({confine.LANDLOCK, confine.SECCOMP})
WORKLOADS_OF_GPU = Program("node.sandbox.compute")
_STOP_S = 0.5
_MAX_REASON = 500
_REMEDY = (
    "Landlock needs Linux 5.13 with `landlock` among the kernel's `lsm=` modules, seccomp needs "
    "x86-64, and a container must permit both; or leave these layers out of the required ones"
)


class ComputeChild:
    """Runs jobs, one at a time, in a confined process that stays warm between them."""

    def __init__(self, launch: Launch, required: Collection[str]) -> None:
        self._launch = launch
        self._required = required
        self._turn = trio.Lock()
        self._child: ChildProcess | None = None
        self._closed = False
        self.layers: tuple[str, ...] = ()

    @property
    def process_id(self) -> int | None:
        """The id of the present process, for logs and status pages."""
        return None if self._child is None else self._child.process_id

    async def run(
        self,
        kind: str,
        job: JobContext,
        parameters: bytes,
        scratch: Path,
        progress: Progress,
        *,
        wall_limit_s: float = math.inf,
    ) -> RunReport:
        """Execute a job whose files go to `scratch`, a folder below the scratch root.

        `progress` is called in the caller's task. Cancelling the caller stops the job within a
        second. Raises ComputeFailed, OutOfMemory, TimeLimitExceeded, ComputeCrashed,
        OutputRejected, and SandboxNotStarted when no child can be had. Whoever reads the files
        uses `outputs.open_output` and checks the digests.
        """
        self._require_beneath_root(scratch)
        request = frames.Run(kind, job, parameters, str(scratch))
        async with self._turn:
            child = await self.warm_up()
            try:
                with trio.move_on_after(wall_limit_s):
                    return await self._execute(child, request, progress)
                raise TimeLimitExceeded(wall_limit_s)
            finally:
                await self._settle(child)

    async def warm_up(self) -> ChildProcess:
        """The present child or a new one, ready; raises SandboxNotStarted."""
        if self._child is None or self._child.ended:
            await self._replace()
        child = self._child
        if child is None:
            raise SandboxNotStarted("this compute child is closed")
        if not child.ready:
            await self._greet(child)
        return child

    async def aclose(self) -> None:
        """Kill the child; nothing can be run after this."""
        self._closed = True
        if self._child is not None:
            await self._child.end()
            self._child = None

    async def _execute(
        self, child: ChildProcess, request: frames.Run, progress: Progress
    ) -> RunReport:
        child.busy = True
        await child.send(request)
        while isinstance(answer := await child.receive(), frames.Progress):
            progress(answer.done)
        child.busy = False
        if isinstance(answer, frames.Failed):
            raise self._failure(answer)
        if not isinstance(answer, frames.Done):
            await child.end()
            raise ComputeCrashed(f"it answered {type(answer).__name__} out of turn")
        try:
            check_outputs(answer.report, Path(request.scratch))
        except OutputRejected:
            await child.end()
            raise
        return answer.report

    def _failure(self, answer: frames.Failed) -> ComputeFailed | OutOfMemory:
        if answer.cause == "memory":
            return OutOfMemory(self._launch.limits.memory_bytes)
        return ComputeFailed(printable(answer.reason, _MAX_REASON))

    async def _settle(self, child: ChildProcess) -> None:
        """Leave behind an idle child or a starting one."""
        with trio.CancelScope(shield=True):
            if child.busy and not child.ended:
                await self._stop(child)
            child.log_messages()
            if child.ended:
                with contextlib.suppress(SandboxNotStarted):  # the next job tries again, and raises
                    await self._replace()

    async def _stop(self, child: ChildProcess) -> None:
        with trio.move_on_after(_STOP_S), contextlib.suppress(ComputeCrashed):
            await child.send(frames.Cancel())
            while isinstance(await child.receive(), frames.Progress):
                pass
            child.busy = False
        if child.busy:
            log.info("compute child %d did not stop and is replaced", child.process_id)
            await child.end()

    async def _replace(self) -> None:
        if self._child is not None:
            await self._child.end()
        self._child = None if self._closed else spawn(self._launch)

    async def _greet(self, child: ChildProcess) -> None:
        """Wait until the child is ready and see that it is confined; else end it."""
        answer = None
        start_s = self._launch.start_s
        with trio.move_on_after(start_s):
            try:
                answer = await child.receive()
            except ComputeCrashed as error:
                raise SandboxNotStarted(f"the child did not start: {error.reason}") from error
        if not isinstance(answer, frames.Ready):
            await child.end()
            raise SandboxNotStarted(f"the child was not ready within {start_s:g} s")
        missing = set(self._required).difference(answer.active)
        if missing:
            await child.end()
            reasons = {name: answer.missing.get(name, "unknown") for name in sorted(missing)}
            raise LayerMissing({n: printable(r, _MAX_REASON) for n, r in reasons.items()}, _REMEDY)
        child.ready = True
        self.layers = answer.active
        log.info("compute child %d is ready, confined by %s", child.process_id, answer.active)

    def _require_beneath_root(self, scratch: Path) -> None:
        root = Path(self._launch.scratch_root)
        if not scratch.resolve().is_relative_to(root):
            raise ValueError(f"{scratch} is not below the scratch root {root}")


@asynccontextmanager
async def open_compute_child(
    *,
    memory_limit_bytes: int,
    scratch_root: Path,
    required: Collection[str] = REQUIRED_LAYERS,
    program: Program = WORKLOADS_OF_GPU,
) -> AsyncIterator[ComputeChild]:
    """A compute child that is warm; raises SandboxNotStarted, of which LayerMissing is one.

    A job may take `memory_limit_bytes` on top of what the idle child has. The child may write below
    `scratch_root` only, an existing folder; nothing the node keeps secret may lie there or in the
    folders that hold the interpreter, its libraries and the node's own code.
    """
    launch = plan_launch(program, ResourceLimits(memory_limit_bytes), scratch_root)
    child = ComputeChild(launch, required)
    try:
        await child.warm_up()
        yield child
    finally:
        await child.aclose()
