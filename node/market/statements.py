"""An address's statement: what its accounts at this market gained and gave, oldest first."""

from collections.abc import Callable, Iterable, Iterator
from heapq import merge
from operator import attrgetter

from node.amounts import Amount
from node.market.views import StatementLine, StatementPage
from node.settlement import accounts
from node.settlement.ledger import Ledger


def statement_page(
    ledger: Ledger, address: str, *, start: int, limit: int, with_credit: bool = False
) -> StatementPage:
    """The movements of the address's `limit` entries from number `start` on.

    `with_credit`: those of its credit, too, where tasks are paid from that.
    """
    lines: list[StatementLine] = []
    entries = 0
    for line in _lines(ledger, _kinds(with_credit), address, start):
        entries += not lines or line.number != lines[-1].number
        if entries > limit:
            return StatementPage(address, tuple(lines), line.number)
        lines.append(line)
    return StatementPage(address, tuple(lines), None)


def _kinds(with_credit: bool) -> tuple[Callable[[str], str], ...]:
    kinds = (accounts.customer, accounts.worker, accounts.validator)
    bonds = (accounts.bond, accounts.unbonding)
    return (*kinds, *bonds, accounts.credit) if with_credit else (*kinds, *bonds)


def _lines(
    ledger: Ledger, kinds: Iterable[Callable[[str], str]], address: str, start: int
) -> Iterator[StatementLine]:
    names = [kind(address) for kind in kinds]
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
