"""An address's statement: what its accounts at this market gained and gave, oldest first."""

from collections.abc import Iterator
from heapq import merge
from operator import attrgetter

from node.amounts import Amount
from node.market.views import StatementLine, StatementPage
from node.settlement import accounts
from node.settlement.ledger import Ledger


def statement_page(ledger: Ledger, address: str, *, start: int, limit: int) -> StatementPage:
    """The movements of the address's `limit` entries from number `start` on."""
    lines: list[StatementLine] = []
    entries = 0
    for line in _lines(ledger, address, start):
        entries += not lines or line.number != lines[-1].number
        if entries > limit:
            return StatementPage(address, tuple(lines), line.number)
        lines.append(line)
    return StatementPage(address, tuple(lines), None)


def _lines(ledger: Ledger, address: str, start: int) -> Iterator[StatementLine]:
    kinds = (accounts.customer, accounts.worker, accounts.validator)
    names = [kind(address) for kind in (*kinds, accounts.bond, accounts.unbonding)]
    return merge(*(_of(ledger, name, start) for name in names), key=attrgetter("number"))


def _of(ledger: Ledger, account: str, start: int) -> Iterator[StatementLine]:
    for entry in ledger.entries(account, start=start):
        yield StatementLine(
            number=entry.sequence,
            at_ms=entry.at_ms,
            account=account.partition(":")[0],
            kind=entry.kind,
            about=entry.cause.partition(":")[2],
            amount=Amount(entry.amount(account)),
        )
