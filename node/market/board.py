"""The market's tasks: stored, indexed for listing, and watched.

Every change goes through `put`, into the caller's batch; `announce` tells whoever waits once the
batch is staged. Listing walks a small index in memory instead of the records, and open tasks,
which are looked at all the time, are in memory as a whole.
"""

from collections import Counter
from collections.abc import Iterator

import msgspec
import trio

from node.errors import NotFound
from node.market.tasks import OutcomeRecord, TaskRecord
from storage.database import Database
from storage.store import Batch
from storage.tables import Table


class _Line(msgspec.Struct, frozen=True):
    """What the index keeps of a task."""

    task_id: str
    kind: str
    status: str
    phase: str


class TaskBoard:
    """All tasks of this market, over one database."""

    def __init__(self, db: Database) -> None:
        self._tasks = Table(db, "tasks", TaskRecord)
        self._outcomes = Table(db, "outcomes", OutcomeRecord)
        self._lines: dict[int, _Line] = {}
        self._watchers: dict[str, trio.Event] = {}
        self._queued: dict[str, TaskRecord] = {}
        self._leased: dict[str, TaskRecord] = {}
        self.changed = trio.Event()
        """Set, and replaced, at every change of any task."""
        stored = [task for _, task in self._tasks.items()]
        for task in sorted(stored, key=lambda task: task.sequence):
            self._index(task)

    @property
    def next_sequence(self) -> int:
        """The number of the next task."""
        return len(self._lines)

    def find(self, task_id: str) -> TaskRecord | None:
        """The task, or None."""
        return self._tasks.get(task_id.encode())

    def get(self, task_id: str) -> TaskRecord:
        """The task; NotFound if this market has never seen it."""
        task = self.find(task_id)
        if task is None:
            raise NotFound(
                "no such task at this market", field="task_id", remedy="check the id, or list tasks"
            )
        return task

    def outcome(self, task_id: str) -> OutcomeRecord | None:
        """What completed the task, or None."""
        return self._outcomes.get(task_id.encode())

    def put(self, batch: Batch, task: TaskRecord, outcome: OutcomeRecord | None = None) -> None:
        """Add the task's new state to a batch that the caller stages at once."""
        self._tasks.put(batch, task.task_id.encode(), task)
        if outcome is not None:
            self._outcomes.put(batch, task.task_id.encode(), outcome)
        self._index(task)

    def announce(self, task_id: str) -> None:
        """Wake those who wait for a change of this task, or of any."""
        watcher = self._watchers.pop(task_id, None)
        if watcher is not None:
            watcher.set()
        self.changed.set()
        self.changed = trio.Event()

    async def wait_change(self, task_id: str) -> None:
        """Return at the task's next change."""
        await self._watchers.setdefault(task_id, trio.Event()).wait()

    @property
    def open_count(self) -> int:
        """How many tasks are not ended yet."""
        return len(self._queued) + len(self._leased)

    def queued_tasks(self) -> Iterator[TaskRecord]:
        """Tasks that wait for a lease, in the order in which they began to wait."""
        return iter(list(self._queued.values()))

    def leased_tasks(self) -> Iterator[TaskRecord]:
        """Tasks that an orchestrator holds."""
        return iter(list(self._leased.values()))

    def open_tasks(self) -> Iterator[TaskRecord]:
        """Tasks that are not ended yet."""
        yield from self.leased_tasks()
        yield from self.queued_tasks()

    def leases_of(self, orchestrator: str) -> int:
        """How many leases an orchestrator holds."""
        return sum(task.orchestrator == orchestrator for task in self._leased.values())

    def is_leased(self, task_id: str, epoch: int) -> bool:
        """Whether this epoch's lease is running."""
        task = self._leased.get(task_id)
        return task is not None and task.epoch == epoch

    def page(
        self, *, status: str | None, kind: str | None, limit: int, offset: int
    ) -> tuple[list[TaskRecord], int]:
        """A page of matching tasks, newest first, and how many match."""
        matching = [
            line.task_id
            for line in reversed(self._lines.values())
            if (status is None or line.status == status) and (kind is None or line.kind == kind)
        ]
        return [self.get(task_id) for task_id in matching[offset : offset + limit]], len(matching)

    def counts(self) -> Counter[str]:
        """How many tasks are in each phase."""
        return Counter(line.phase for line in self._lines.values())

    def _index(self, task: TaskRecord) -> None:
        self._lines[task.sequence] = _Line(task.task_id, task.kind, task.status, task.phase)
        self._queued.pop(task.task_id, None)
        self._leased.pop(task.task_id, None)
        if task.phase == "queued":
            self._queued[task.task_id] = task
        elif task.phase == "leased":
            self._leased[task.task_id] = task
