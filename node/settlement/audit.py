"""Checking the books: everything that is derived from the entries, derived once more.

The indexes are not looked up entry by entry, which takes a disk most of the time, but read through
in their own order: what they hold and what the entries say they should are compared as sets, by the
sum of their members' hashes. Only where these differ is it looked up what is missing.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import msgspec

from node.settlement.accounts import CUSTOMER, L1
from node.settlement.bounds import may_hold
from node.settlement.entries import Entry, check_entry, index_key
from node.settlement.errors import MalformedEntry
from storage.store import Batch

if TYPE_CHECKING:
    from node.settlement.ledger import Ledger, Place
    from storage.tables import Table

MAX_FINDINGS = 100


class AuditReport(msgspec.Struct, frozen=True):
    """What an audit saw; `findings` are sentences, the first 100, and none if all is well."""

    entries: int
    accounts: int
    held: int
    """Units held for others: minus the balance of `l1`."""
    findings: tuple[str, ...]
    owed: int = 0
    """Units that customers owe for tasks on credit; where the market holds the money, as much of
    what is held is the operator's, set aside for them."""

    @property
    def ok(self) -> bool:
        """Whether the books are right."""
        return not self.findings


class _Members:
    """A set of index entries, in whatever order they come. The hashes are keyed by Python, anew in
    each process, so that nobody can choose other members with the same sum."""

    def __init__(self) -> None:
        self.count = self.total = 0

    def add(self, key: bytes, sequence: int) -> None:
        self.count += 1
        self.total += hash((key, sequence))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Members) and vars(self) == vars(other)


def audit(ledger: "Ledger") -> AuditReport:
    """Recompute balances, numbers and indexes from the entries, all of which it reads."""
    findings: list[str] = []
    totals: defaultdict[str, int] = defaultdict(int)
    causes, places = _Members(), _Members()
    entries = 0
    for entry in ledger.entries():
        findings += _entry_findings(entry, entries)
        entries += 1
        causes.add(entry.cause.encode(), entry.sequence)
        for posting in entry.postings:
            places.add(index_key(posting.account, entry.sequence), entry.sequence)
            totals[posting.account] += posting.amount
    findings += _index_findings(ledger, causes, places)
    findings += _balance_findings(ledger, totals)
    if ledger.next_sequence(Batch()) != entries:
        findings.append(f"the next entry would not be number {entries}")
    owed = -sum(min(0, units) for name, units in totals.items() if name.startswith(CUSTOMER))
    return AuditReport(entries, len(totals), -totals[L1], tuple(findings[:MAX_FINDINGS]), owed)


def _entry_findings(entry: Entry, expected: int) -> Iterator[str]:
    if entry.sequence != expected:
        yield f"entry {entry.sequence} stands where {expected} belongs"
    try:
        check_entry(entry.cause, entry.kind, entry.postings)
    except MalformedEntry as error:
        yield str(error)


def _index_findings(ledger: "Ledger", causes: _Members, places: _Members) -> Iterator[str]:
    by_cause, by_account = _members(ledger.by_cause), _members(ledger.by_account)
    if (by_cause, by_account) != (causes, places):
        for entry in ledger.entries():
            yield from _missing(ledger, entry)
    if by_cause.count > causes.count:
        yield "there are causes without entries"
    if by_account.count > places.count:
        yield "the index of accounts has more than the entries"


def _members(index: "Table[Place]") -> _Members:
    found = _Members()
    for key, place in index.items():
        found.add(key, place.sequence)
    return found


def _missing(ledger: "Ledger", entry: Entry) -> Iterator[str]:
    """What does not lead to an entry, and should."""
    place = ledger.by_cause.get(entry.cause.encode())
    if place is None or place.sequence != entry.sequence:
        yield f"cause {entry.cause} does not lead to entry {entry.sequence}"
    for posting in entry.postings:
        place = ledger.by_account.get(index_key(posting.account, entry.sequence))
        if place is None or place.sequence != entry.sequence:
            yield f"entry {entry.sequence} is missing in the index of {posting.account}"


def _balance_findings(ledger: "Ledger", totals: Mapping[str, int]) -> Iterator[str]:
    stored = {key.decode(): balance.amount for key, balance in ledger.balances.items()}
    for account in sorted(stored.keys() | totals.keys()):
        total, kept = totals.get(account, 0), stored.get(account, 0)
        if total != kept:
            yield f"{account} holds {kept} units, its entries say {total}"
        if account in totals and not may_hold(account, totals):
            yield f"{account} is negative: {total} units"
    if sum(stored.values()):
        yield f"all balances together are {sum(stored.values())} units, not zero"
