"""The market's tasks: stored, indexed for listing, and watched.

Every change goes through `put`, into the caller's batch; `announce` tells whoever waits once the
batch is staged, and logs the new phase (`changes`). Listing slices an index in memory (`listing`)
and loads the page's records only; open tasks, which are looked at all the time, are in memory as
a whole.
"""

import logging
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import trio

from node.errors import NotFound
from node.market.changes import ChangeLog
from node.market.listing import Line, TaskIndex
from node.market.outcomes import OutcomeRecord
from node.market.tasks import TaskRecord, waits_for_anchor
from storage.database import Database
from storage.store import Batch
from storage.tables import Table

log = logging.getLogger(__name__)


class BoardPage(NamedTuple):
    """Some tasks, how many match in all, and where the next page begins."""

    tasks: list[TaskRecord]
    total: int
    cursor: str | None


class TaskBoard:
    """All tasks of this market, over one database."""

    def __init__(self, db: Database, changes: ChangeLog) -> None:
        self.changes = changes
        self._tasks = Table(db, "tasks", TaskRecord, version=2)
        self._outcomes = Table(db, "outcomes", OutcomeRecord, version=2)
        self._index = TaskIndex()
        self._watchers: dict[str, trio.Event] = {}
        self._unannounced: dict[str, TaskRecord] = {}
        self._queued: dict[str, TaskRecord] = {}
        self._leased: dict[str, TaskRecord] = {}
        self._unanchored: dict[str, TaskRecord] = {}
        self._disputed: dict[str, None] = {}
        self.changed = trio.Event()
        """Set, and replaced, at every change of any task."""
        stored = [task for _, task in self._tasks.items()]
        for task in sorted(stored, key=lambda task: task.sequence):
            self._keep(task, None)

    @property
    def next_sequence(self) -> int:
        """The number of the next task."""
        return len(self._index)

    def find(self, task_id: str, batch: Batch | None = None) -> TaskRecord | None:
        """The task, as `batch` leaves it if one is given, or None."""
        return self._tasks.get(task_id.encode(), batch)

    def get(self, task_id: str, batch: Batch | None = None) -> TaskRecord:
        """The same; NotFound if this market has never seen it."""
        task = self.find(task_id, batch)
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
        known = self._index.get(task.sequence)
        if known is None or known.phase != task.phase:
            self._unannounced[task.task_id] = task
        self._keep(task, outcome)

    def announce(self, task_id: str) -> None:
        """Wake those who wait for a change of this task, or of any, and log its new phase."""
        changed = self._unannounced.pop(task_id, None)
        if changed is not None:
            self.changes.add(task_id, changed.status, changed.phase)
            log.info("the task is %s", changed.phase, extra={"task": task_id})
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

    def unanchored_tasks(self) -> Iterator[TaskRecord]:
        """Tasks that were completed and are not anchored yet, also disputed and overturned ones."""
        return iter(list(self._unanchored.values()))

    def disputed_tasks(self) -> Iterator[str]:
        """Ids of the tasks whose dispute is not decided."""
        return iter(list(self._disputed))

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
        self,
        *,
        status: str | None,
        kind: str | None,
        limit: int,
        offset: int,
        cursor: str | None = None,
    ) -> BoardPage:
        """A page of matching tasks, newest first, from the cursor on; InvalidInput if it is none.

        Pages that follow cursors show no task twice, whatever happens in between, and leave none
        out that matches all the time.
        """
        page = self._index.page(status=status, kind=kind, limit=limit, offset=offset, cursor=cursor)
        return BoardPage([self.get(task_id) for task_id in page.task_ids], page.total, page.cursor)

    def counts(self) -> Counter[str]:
        """How many tasks are in each phase."""
        return self._index.counts()

    def _keep(self, task: TaskRecord, outcome: OutcomeRecord | None) -> None:
        """`outcome` is the one of the same batch, if that has one."""
        self._index.put(task.sequence, Line(task.task_id, task.kind, task.status, task.phase))
        self._queued.pop(task.task_id, None)
        self._leased.pop(task.task_id, None)
        self._unanchored.pop(task.task_id, None)
        self._disputed.pop(task.task_id, None)
        if task.phase == "queued":
            self._queued[task.task_id] = task
        elif task.phase == "leased":
            self._leased[task.task_id] = task
        elif task.phase == "disputed":
            self._disputed[task.task_id] = None
        if waits_for_anchor(task) and not self._is_anchored(task, outcome):
            self._unanchored[task.task_id] = task

    def _is_anchored(self, task: TaskRecord, outcome: OutcomeRecord | None) -> bool:
        """Of a task whose phase does not say it."""
        known = outcome or (None if task.phase == "verified" else self.outcome(task.task_id))
        return known is not None and known.is_anchored
