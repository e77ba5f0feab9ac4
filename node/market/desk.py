"""What the parts of a market know of its disputes: an `AppealDesk`, or a test's own."""

from collections.abc import Iterator
from typing import Protocol

from node.amounts import Amount
from node.market.appealbook import AppealRecord
from node.market.tasks import TaskRecord


class KnownAppeals(Protocol):
    """The appeals that a market has taken."""

    def find(self, task_id: str) -> AppealRecord | None:
        """The appeal about a task, or None."""

    def open(self) -> Iterator[AppealRecord]:
        """Those that are not decided."""


class Desk(Protocol):
    """Where customers dispute results."""

    @property
    def book(self) -> KnownAppeals:
        """What was disputed."""

    def fee(self, work_units: int) -> Amount:
        """What an appeal costs whose task takes so many units."""

    def open(self, task_id: str, account: str, reason: str) -> TaskRecord:
        """Dispute a completed task's result."""

    def pass_time(self) -> None:
        """Decide what has waited long enough."""
