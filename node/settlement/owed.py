"""Who waits to be paid, and since which entry: kept beside the ledger, in the same batches."""

from collections.abc import Iterator

import msgspec

from storage.database import Database
from storage.store import Batch
from storage.tables import Table


class Owed(msgspec.Struct, frozen=True):
    """The unpaid entries of one payee's account."""

    first: int
    """Sequence of the first of them."""
    since_ms: int
    """When that one was booked."""
    entries: int


class OwedBook:
    """One record for each account with unpaid entries, so that finding them scans nothing else."""

    def __init__(self, db: Database) -> None:
        self._table = Table(db, "settlement/owed", Owed)

    def add(self, batch: Batch, account: str, *, sequence: int, at_ms: int) -> None:
        """Note that entry `sequence` credits the account."""
        known = self._table.get(account.encode(), batch) or Owed(sequence, at_ms, 0)
        more = Owed(known.first, known.since_ms, known.entries + 1)
        self._table.put(batch, account.encode(), more)

    def replace(self, batch: Batch, account: str, rest: Owed | None) -> None:
        """Note what is left after a payout."""
        if rest is None:
            self._table.delete(batch, account.encode())
        else:
            self._table.put(batch, account.encode(), rest)

    def get(self, account: str) -> Owed | None:
        """The unpaid entries of an account, or None."""
        return self._table.get(account.encode())

    def items(self) -> Iterator[tuple[str, Owed]]:
        """All accounts that wait, in the order of their names."""
        return ((key.decode(), owed) for key, owed in self._table.items())
