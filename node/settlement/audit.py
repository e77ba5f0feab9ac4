"""Checking the books: everything that is derived from the entries, derived once more."""

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
    from node.settlement.ledger import Ledger

MAX_FINDINGS = 100


class AuditReport(msgspec.Struct, frozen=True):
    """What an audit saw; `findings` are sentences, the first 100, and none if all is well."""

    entries: int
    accounts: int
    held: int
    """Units held for others: minus the balance of `l1`."""
    findings: tuple[str, ...]
    owed: int = 0
    """Units that customers owe for tasks on credit; as much of what is held is the operator's, set
    aside for them."""

    @property
    def ok(self) -> bool:
        """Whether the books are right."""
        return not self.findings


def audit(ledger: "Ledger") -> AuditReport:
    """Recompute balances, numbers and indexes from the entries, all of which it reads."""
    findings: list[str] = []
    totals: defaultdict[str, int] = defaultdict(int)
    entries = postings = 0
    for entry in ledger.entries():
        findings += _entry_findings(ledger, entry, entries)
        entries += 1
        postings += len(entry.postings)
        for posting in entry.postings:
            totals[posting.account] += posting.amount
    findings += _balance_findings(ledger, totals)
    findings += _size_findings(ledger, entries, postings)
    owed = -sum(min(0, units) for name, units in totals.items() if name.startswith(CUSTOMER))
    return AuditReport(entries, len(totals), -totals[L1], tuple(findings[:MAX_FINDINGS]), owed)


def _entry_findings(ledger: "Ledger", entry: Entry, expected: int) -> Iterator[str]:
    if entry.sequence != expected:
        yield f"entry {entry.sequence} stands where {expected} belongs"
    try:
        check_entry(entry.cause, entry.kind, entry.postings)
    except MalformedEntry as error:
        yield str(error)
    place = ledger.by_cause.get(entry.cause.encode())
    if place is None or place.sequence != entry.sequence:
        yield f"cause {entry.cause} does not lead to entry {entry.sequence}"
    for posting in entry.postings:
        if ledger.by_account.get(index_key(posting.account, entry.sequence)) is None:
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


def _size_findings(ledger: "Ledger", entries: int, postings: int) -> Iterator[str]:
    if ledger.next_sequence(Batch()) != entries:
        yield f"the next entry would not be number {entries}"
    if sum(1 for _ in ledger.by_cause.items()) != entries:
        yield "there are causes without entries"
    if sum(1 for _ in ledger.by_account.items()) != postings:
        yield "the index of accounts has more than the entries"
