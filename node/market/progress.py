"""How far the jobs of leased tasks are, as their orchestrators say: shown to those who follow.

Nothing hangs on it and nothing of it is stored.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress

from node.errors import NodeError
from node.market.board import TaskBoard
from node.market.changes import ChangeLog, JobChange
from node.market.tasks import TaskRecord, require_lease
from node.verification.claims import StatementInvalid
from node.wire.leases import JobState, TaskProgress

MAX_CHANGES = 64
"""Told of one job in one epoch; an orchestrator that says more is not listened to."""
MAX_TASKS = 4096
"""Whose jobs' states are remembered, to tell each only once."""


class JobProgressBook:
    """The latest states of the jobs of tasks that are leased."""

    def __init__(
        self, board: TaskBoard, changes: ChangeLog, address_of: Callable[[str], str]
    ) -> None:
        """`address_of` gives the account of a worker's peer id, or an empty text."""
        self._board = board
        self._changes = changes
        self._address_of = address_of
        self._states: dict[tuple[str, int], dict[int, JobState]] = {}
        self._told: Counter[tuple[str, int, int]] = Counter()

    def note(self, progress: TaskProgress, orchestrator: str) -> None:
        """Tell the followers what is new.

        Raises Conflict for a lease that is over or another's, StatementInvalid for a job that the
        task does not have, NotFound for a task that is not this market's.
        """
        task = self._board.get(progress.task_id)
        require_lease(task, progress.epoch, orchestrator)
        if any(one.job >= task.jobs for one in progress.jobs):
            raise StatementInvalid(f"the task has {task.jobs} jobs", field="job")
        states = self._states.setdefault((task.task_id, task.epoch), {})
        for one in progress.jobs:
            if states.get(one.job) != one:
                states[one.job] = one
                self._tell(task, one)
        self._drop_surplus()

    def note_all(self, tasks: Sequence[TaskProgress], orchestrator: str) -> None:
        """Note each task's progress; what does not hold is passed over: leases end meanwhile."""
        for one in tasks:
            with suppress(NodeError):
                self.note(one, orchestrator)

    def _tell(self, task: TaskRecord, one: JobState) -> None:
        key = (task.task_id, task.epoch, one.job)
        self._told[key] += 1
        if self._told[key] <= MAX_CHANGES:
            job = JobChange(one.job, one.phase, one.attempt, self._address_of(one.worker))
            self._changes.add(task.task_id, task.status, task.phase, job)

    def _drop_surplus(self) -> None:
        while len(self._states) > MAX_TASKS:
            task_id, epoch = next(iter(self._states))
            for job in self._states.pop((task_id, epoch)):
                del self._told[task_id, epoch, job]
