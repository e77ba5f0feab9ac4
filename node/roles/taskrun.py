"""All jobs of one leased task, side by side."""

import trio

from node.roles.jobrun import Bureau, JobGivenUp, JobRun
from node.roles.panel import Panel
from node.roles.seats import Seats
from node.verification.draws import Draw
from node.workloads import size_of


class TaskRun:
    """One lease in hand."""

    def __init__(
        self, bureau: Bureau, draw: Draw, own_key: bytes, chain_id: str, *, resumed: bool
    ) -> None:
        means = bureau.means
        self._resumed = resumed
        self._bureau = bureau
        self._failure: JobGivenUp | None = None
        self._jobs: list[JobRun] = []
        self.scope = trio.CancelScope()
        self.seats = Seats(means.network, means.gate, draw, bureau.leases.redrawn)
        self._panel = Panel(
            network=means.network,
            seats=self.seats,
            own_key=own_key,
            chain_id=chain_id,
            now_ms=bureau.now_ms,
        )

    @property
    def begun(self) -> bool:
        """Whether any attempt was begun."""
        return any(job.begun for job in self._jobs)

    @property
    def is_done(self) -> bool:
        """Whether every job has a verified result, stored."""
        draw = self.seats.draw
        jobs = self._bureau.leases.jobs(draw.task_id)
        verified = sum(one.verified is not None for one in jobs)
        return verified == size_of(draw.kind, draw.parameters).jobs

    async def run(self) -> None:
        """Return when every job has a verified result, stored; raises JobGivenUp when one of them
        will have none in this epoch."""
        draw = self.seats.draw
        count = size_of(draw.kind, draw.parameters).jobs
        self._jobs = [
            JobRun(self._bureau, self.seats, self._panel, job, resumed=self._resumed)
            for job in range(count)
        ]
        async with trio.open_nursery() as nursery:
            for job in self._jobs:
                nursery.start_soon(self._run_job, job, nursery.cancel_scope)
        if self._failure is not None:
            raise self._failure

    async def _run_job(self, job: JobRun, others: trio.CancelScope) -> None:
        try:
            await job.run()
        except JobGivenUp as failure:
            self._failure = self._failure or failure
            others.cancel()
