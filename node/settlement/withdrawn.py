"""Withdrawals that the market asked the chain for and no confirmed block has yet."""

from collections.abc import Iterator

import msgspec

from storage.database import Database
from storage.store import Batch
from storage.tables import Table


class _Asked(msgspec.Struct, frozen=True):
    cause: str
    customer: str


class WithdrawalBook:
    """Causes by the hash of their transaction."""

    def __init__(self, db: Database) -> None:
        self._table = Table(db, "settlement/withdrawals", _Asked)

    def add(self, batch: Batch, tx_hash: str, cause: str, customer: str) -> None:
        """The market has signed the transaction."""
        self._table.put(batch, tx_hash.encode(), _Asked(cause, customer))

    def cause_of(self, tx_hash: str, batch: Batch) -> str | None:
        """Why the market sent it, or None if another program did."""
        asked = self._table.get(tx_hash.encode(), batch)
        return None if asked is None else asked.cause

    def remove(self, batch: Batch, tx_hash: str) -> None:
        """A block holds it, or none ever will."""
        self._table.delete(batch, tx_hash.encode())

    def open_of(self, customer: str) -> Iterator[str]:
        """The causes of a customer's."""
        return (one.cause for _, one in self._table.items() if one.customer == customer)
