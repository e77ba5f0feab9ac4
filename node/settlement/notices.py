"""Customers who take their whole deposit out by themselves: notice first, the money later."""

from collections.abc import Iterator

import msgspec

from storage.database import Database
from storage.store import Batch
from storage.tables import Table


class Notice(msgspec.Struct, frozen=True):
    """Block with the customer's notice."""

    height: int


class NoticeBook:
    """The notices that run, by customer."""

    def __init__(self, db: Database) -> None:
        self._table = Table(db, "settlement/notices", Notice)

    def height(self, customer: str, batch: Batch | None = None) -> int | None:
        """Block of the customer's notice, or None; sees into `batch` if one is given."""
        notice = self._table.get(customer.encode(), batch)
        return None if notice is None else notice.height

    def give(self, batch: Batch, customer: str, height: int) -> None:
        """A block holds the customer's notice."""
        self._table.put(batch, customer.encode(), Notice(height))

    def end(self, batch: Batch, customer: str) -> None:
        """It is over: a new deposit ends it, and so does what it was given for."""
        self._table.delete(batch, customer.encode())

    def items(self) -> Iterator[tuple[str, int]]:
        """Customers and the blocks of their notices."""
        return ((key.decode(), notice.height) for key, notice in self._table.items())
