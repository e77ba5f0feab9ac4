"""The double-entry ledger: append-only entries, and balances kept in the same batch.

An entry moves money between accounts; its postings sum to zero. It has a *cause*, a name chosen by
whoever posts it (`settle:<task id>`); the same cause again changes nothing, so whatever moves money
may be repeated after a crash. Who may hold less than nothing is said in `bounds`.

Posting stages into the caller's batch and reads through it, so several entries in one batch are
right. The batch must reach `Database.stage` before anything else posts, which holds as long as the
caller does not wait in between; a batch that is dropped instead has changed nothing.
"""

from collections.abc import Iterator, Sequence

import msgspec

from node.amounts import Amount
from node.settlement.audit import AuditReport, audit
from node.settlement.bounds import check_balances
from node.settlement.entries import Entry, Posting, check_entry, index_key
from node.settlement.errors import LedgerConflict
from p2p.encoding import u64
from storage.database import Database
from storage.store import Batch
from storage.tables import Table


class Balance(msgspec.Struct, frozen=True):
    """Units an account holds."""

    amount: Amount


class Place(msgspec.Struct, frozen=True):
    """The number of an entry."""

    sequence: int


class Ledger:
    """The only writer of its tables, which `audit` reads as well."""

    def __init__(self, db: Database) -> None:
        self.by_sequence = Table(db, "ledger/entries", Entry)
        self.by_cause = Table(db, "ledger/causes", Place)
        self.by_account = Table(db, "ledger/accounts", Place)
        self.balances = Table(db, "ledger/balances", Balance)
        self.next = Table(db, "ledger/next", Place)

    def balance(self, account: str, batch: Batch | None = None) -> int:
        """Units the account holds, after `batch` if one is given; 0 for one never used."""
        batch = Batch() if batch is None else batch
        held = self.balances.get(account.encode(), batch)
        return held.amount if held else 0

    def holdings(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        """The accounts whose names start with `prefix` and that hold something, and what.

        After a restart `reserved:` lists the tasks whose money is neither settled nor refunded, and
        `maturing:` those whose pay is not due yet.
        """
        start = prefix.encode()
        pairs = self.balances.items(start, start + b"\xff")
        return ((account.decode(), balance.amount) for account, balance in pairs)

    def find(self, cause: str, batch: Batch | None = None) -> Entry | None:
        """The entry of a cause, or None; sees into `batch` if one is given."""
        batch = Batch() if batch is None else batch
        place = self.by_cause.get(cause.encode(), batch)
        return self.by_sequence.get(u64(place.sequence), batch) if place else None

    def post(
        self, batch: Batch, *, cause: str, kind: str, postings: Sequence[Posting], at_ms: int
    ) -> bool:
        """Stage an entry; False if its cause is already there with the same postings.

        Either everything is added to the batch or, on an error, nothing.

        Raises:
            LedgerConflict: the cause is there with another kind or other postings.
            MalformedEntry: see `check_entry`.
            InsufficientFunds, Overdrawn: an account may not hold what it would, see `bounds`.
        """
        check_entry(cause, kind, postings)
        known = self.find(cause, batch)
        if known is not None:
            _check_same(known, kind, postings)
            return False
        after = {p.account: self.balance(p.account, batch) + p.amount for p in postings}
        check_balances(kind, cause, postings, after, lambda account: self.balance(account, batch))
        entry = Entry(cause, kind, at_ms, self.next_sequence(batch), tuple(postings))
        self._append(batch, entry, after)
        return True

    def next_sequence(self, batch: Batch) -> int:
        """The number that the next entry in this batch gets."""
        place = self.next.get(b"", batch)
        return place.sequence if place else 0

    def entries(
        self, account: str | None = None, *, start: int = 0, limit: int | None = None
    ) -> Iterator[Entry]:
        """Entries from number `start` on, in order, at most `limit`; of one account if named."""
        found = self._all(start) if account is None else self._of(account, start)
        for count, entry in enumerate(found):
            if count == limit:
                return
            yield entry

    def last(self, account: str) -> Entry | None:
        """The latest entry that moved an account, or None."""
        for _, place in self.by_account.items(
            index_key(account, 0), index_key(account, 2**64 - 1), reverse=True
        ):
            return self.by_sequence.get(u64(place.sequence))
        return None

    def audit(self) -> AuditReport:
        """Recompute everything from the entries and compare; takes time, there are many."""
        return audit(self)

    def _all(self, start: int) -> Iterator[Entry]:
        return (entry for _, entry in self.by_sequence.items(u64(start)))

    def _of(self, account: str, start: int) -> Iterator[Entry]:
        keys = index_key(account, start), index_key(account, 2**64 - 1)
        for _, place in self.by_account.items(*keys):
            entry = self.by_sequence.get(u64(place.sequence))
            assert entry is not None, "entries and their index are written in one batch"
            yield entry

    def _append(self, batch: Batch, entry: Entry, after: dict[str, int]) -> None:
        key = u64(entry.sequence)
        place = Place(entry.sequence)
        self.by_sequence.put(batch, key, entry)
        self.by_cause.put(batch, entry.cause.encode(), place)
        self.next.put(batch, b"", Place(entry.sequence + 1))
        for account, amount in after.items():
            self.by_account.put(batch, index_key(account, entry.sequence), place)
            if amount:
                self.balances.put(batch, account.encode(), Balance(Amount(amount)))
            else:  # so that the accounts of past tasks and payments do not pile up
                self.balances.delete(batch, account.encode())


def _check_same(known: Entry, kind: str, postings: Sequence[Posting]) -> None:
    if known.kind != kind or known.postings != tuple(postings):
        raise LedgerConflict(f"{known.cause} is already entry {known.sequence} and differs")
