"""What a market does with disputes: an `AppealDesk` where bonds are, `NoAppeals` where none are."""

from collections.abc import Iterator
from typing import Protocol

from node.amounts import Amount
from node.errors import Conflict
from node.market.appealbook import AppealRecord
from node.market.tasks import TaskRecord


class NotDisputable(Conflict):
    """No result of this market can be disputed."""


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

    def fee(self, work_units: int) -> Amount | None:
        """What an appeal costs whose task takes so many units; None where none is taken."""

    def open(self, task_id: str, account: str, reason: str) -> TaskRecord:
        """Dispute a completed task's result; raises NotDisputable where that cannot be."""

    def pass_time(self) -> None:
        """Decide what has waited long enough."""


class NoBook:
    """Nothing was ever disputed."""

    def find(self, _task_id: str) -> AppealRecord | None:
        """There is none."""
        return None

    def open(self) -> Iterator[AppealRecord]:
        """There are none."""
        return iter(())


class NoAppeals:
    """A market that holds neither the pay of its tasks nor bonds has nothing to decide over."""

    book = NoBook()

    def fee(self, _work_units: int) -> Amount | None:
        """No fee buys an appeal here."""
        return None

    def open(self, _task_id: str, _account: str, _reason: str) -> TaskRecord:
        """Refuse."""
        raise NotDisputable(
            "the chain holds the money of this market's tasks, and releases it by its validators'"
            " signatures: there are no bonds here that an overturned result could cost",
            field="task_id",
            remedy="use a market whose network settles with `transfer`",
        )

    def pass_time(self) -> None:
        """Nothing waits."""
