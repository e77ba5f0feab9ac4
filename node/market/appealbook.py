"""The stored appeals of a market, and the validators that it draws no more for a while."""

from collections.abc import Callable, Iterator

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


class _Bar(msgspec.Struct, frozen=True):
    """Until when somebody is not drawn."""

    until_ms: int


class AppealBook:
    """One record for each task that was ever disputed; those that are open are in memory."""

    def __init__(self, db: Database, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._table = Table(db, "appeals", AppealRecord)
        self._bars = Table(db, "appeals/barred", _Bar)
        self._barred = {key.decode(): bar.until_ms for key, bar in self._bars.items()}
        stored = (one for _, one in self._table.items())
        self._open = {one.task_id: one for one in stored if one.outcome is None}

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

    def bar(self, batch: Batch, address: str, until_ms: int) -> None:
        """Draw a validator no more until then; what is past is forgotten."""
        now_ms = self._now_ms()
        for known, past_ms in list(self._barred.items()):
            if past_ms <= now_ms:
                del self._barred[known]
                self._bars.delete(batch, known.encode())
        self._barred[address] = max(until_ms, self._barred.get(address, 0))
        self._bars.put(batch, address.encode(), _Bar(self._barred[address]))

    def is_barred(self, address: str) -> bool:
        """Whether the validator is not drawn now."""
        return self._now_ms() < self._barred.get(address, 0)

    @property
    def barred(self) -> int:
        """How many are not drawn now."""
        return sum(map(self.is_barred, self._barred))
