"""The stored appeals of a market."""

from collections.abc import Iterable, Iterator

import msgspec

from node.verification.juries import Jury
from node.verification.rulings import Outcome, Ruling
from node.verification.stakes import Stakes
from storage.database import Database
from storage.store import Batch
from storage.tables import Table


class AppealRecord(msgspec.Struct, frozen=True):
    """One appeal; times in Unix milliseconds."""

    task_id: str
    account: str
    reason: str
    """The customer's words."""
    at_ms: int
    jury: Jury
    claimed: tuple[bytes, ...]
    """Result hashes of the task's jobs, in their order."""
    rulings: tuple[Ruling, ...] = ()
    agreed_ms: int = 0
    """When enough jurors had computed the same; 0 before."""
    outcome: Outcome | None = None
    decided_ms: int = 0
    stakes: Stakes | None = None
    """Of those who answer for an overturned result, before they were slashed."""
    beacon_height: int = 0
    """Of the block by whose hash the jury was drawn."""


class AppealBook:
    """One record for each task that was ever disputed; those that are open are in memory."""

    def __init__(self, db: Database, disputed: Iterable[str]) -> None:
        """`disputed` are the tasks in that phase: whose appeal is open. No other is read."""
        self._table = Table(db, "appeals", AppealRecord)
        found = {task_id: self.find(task_id) for task_id in disputed}
        self._open = {task_id: one for task_id, one in found.items() if one is not None}

    def find(self, task_id: str) -> AppealRecord | None:
        """The appeal about a task, or None."""
        return self._table.get(task_id.encode())

    def open(self) -> Iterator[AppealRecord]:
        """Those that are not decided."""
        return iter(list(self._open.values()))

    def find_open(self, task_id: str) -> AppealRecord | None:
        """The appeal about a task if it is not decided."""
        return self._open.get(task_id)

    def put(self, batch: Batch, appeal: AppealRecord) -> None:
        """Add the appeal's new state to a batch that the caller stages at once."""
        self._table.put(batch, appeal.task_id.encode(), appeal)
        self._open.pop(appeal.task_id, None)
        if appeal.outcome is None:
            self._open[appeal.task_id] = appeal
