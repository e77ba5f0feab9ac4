"""What the chain holds for a market's customers, to be compared with the market's books."""

from typing import Protocol

from node.amounts import Amount
from node.l1.escrow import DepositView, EscrowView
from node.settlement import accounts
from node.settlement.audit import AuditReport
from node.settlement.escrows import EscrowBook
from node.settlement.ledger import Ledger
from node.settlement.solvency import Solvency

_OF_TASKS = ("reserved:", "maturing:", "returning:")


class HeldMoney(Protocol):
    """A chain that holds deposits and escrows; both methods raise L1Error."""

    async def deposit(self, market: str, customer: str) -> DepositView:
        """A customer's at a market."""

    async def escrow(self, escrow_id: str) -> EscrowView | None:
        """An escrow, or None for an id that was never used."""


async def held_by_chain(chain: HeldMoney, ledger: Ledger, book: EscrowBook, market: str) -> int:
    """Units in the deposits and the open escrows that the books know; raises L1Error."""
    total = 0
    for customer in sorted(customers_of(ledger)):
        total += (await chain.deposit(market, customer)).amount
    for record in book.active():
        escrow = await chain.escrow(record.escrow_id)
        if escrow is not None and escrow.status == "open":
            total += escrow.amount
    return total


def held_solvency(ledger: Ledger, book: EscrowBook, report: AuditReport, on_chain: int) -> Solvency:
    """Compare audited books with what the chain holds.

    Under way is what the market has asked the chain to pay out: it may have, or not yet.
    """
    leaving = sum(amount for _, amount in ledger.holdings("outbox:"))
    leaving += sum(one.amount for one in book.active() if one.closing and one.ending == "settle")
    return Solvency(Amount(report.held), Amount(leaving), Amount(on_chain))


def customers_of(ledger: Ledger) -> set[str]:
    """Everybody whose money is in the books, free or bound to a task."""
    found = {accounts.address_in(name) for name, _ in ledger.holdings(accounts.CUSTOMER)}
    for prefix in _OF_TASKS:
        for name, _ in ledger.holdings(prefix):
            entry = ledger.find(f"reserve:{name.removeprefix(prefix)}")
            if entry is not None:
                found.add(accounts.address_in(entry.postings[0].account))
    return found
