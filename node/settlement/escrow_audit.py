"""What the chain holds at a market, to be compared with the market's books."""

from typing import Protocol

import msgspec

from node.amounts import Amount, format_cpc
from node.l1.escrow import BondView, DepositView, EscrowView
from node.settlement import accounts
from node.settlement.audit import MAX_FINDINGS, AuditReport
from node.settlement.escrow_credit import EscrowCredits
from node.settlement.escrows import EscrowBook, EscrowRecord
from node.settlement.ledger import Ledger
from node.settlement.solvency import Solvency

_OF_TASKS = ("reserved:", "maturing:", "returning:")


class HeldMoney(Protocol):
    """A chain that holds deposits, escrows and bonds; each method raises L1Error."""

    async def deposit(self, market: str, customer: str) -> DepositView:
        """A customer's at a market."""

    async def escrow(self, escrow_id: str) -> EscrowView | None:
        """An escrow, or None for an id that was never used."""

    async def bond(self, market: str, address: str) -> BondView:
        """An account's at a market, with what is unbonding."""


async def held_by_chain(
    chain: HeldMoney, ledger: Ledger, book: EscrowBook, credit: EscrowCredits, market: str
) -> int:
    """Units in the deposits, the open escrows with their appeals' fees, and the bonds that the
    books know; raises L1Error."""
    total = 0
    backers = {backer for _, backer in credit.lines()}
    for customer in sorted(customers_of(ledger) | backers):
        total += (await chain.deposit(market, customer)).amount
    for record in book.active():
        escrow = await chain.escrow(record.escrow_id)
        if escrow is not None and escrow.status == "open":
            total += escrow.amount + (escrow.appeal.fee if escrow.appeal else 0)
    for address in sorted(bonded_in(ledger)):
        total += (await chain.bond(market, address)).total
    return total


async def short_backers(
    chain: HeldMoney, ledger: Ledger, credit: EscrowCredits, market: str
) -> tuple[str, ...]:
    """Sentences about those whose deposit does not have what the books say that is theirs and what
    they gave as credit; what is under way is in neither. Raises L1Error."""
    found = []
    for backer in sorted({backer for _, backer in credit.lines()}):
        names = (accounts.customer(backer), *credit.backed_by(backer))
        booked = sum(map(ledger.balance, names))
        there = (await chain.deposit(market, backer)).amount
        if there < booked:
            found.append(
                f"the deposit of {backer} is {format_cpc(there)} CPC, the books say"
                f" {format_cpc(booked)} CPC with what it gave as credit"
            )
    return tuple(found)


def with_credit(report: AuditReport, credit: EscrowCredits) -> AuditReport:
    """An audit of the books with what they say of credit."""
    return msgspec.structs.replace(
        report,
        owed=sum(one.owed for one in credit.views()),
        findings=(*report.findings, *credit.findings())[:MAX_FINDINGS],
    )


def held_solvency(ledger: Ledger, book: EscrowBook, report: AuditReport, on_chain: int) -> Solvency:
    """Compare audited books with what the chain holds.

    Under way is what the market has asked the chain to pay out: it may have, or not yet. What an
    award takes of bonds is counted as all of them.
    """
    leaving = sum(amount for _, amount in ledger.holdings("outbox:"))
    for record in book.active():
        if record.closing and record.ending == "settle":
            leaving += record.amount
        leaving += _awarded(ledger, record)
    return Solvency(Amount(report.held), Amount(leaving), Amount(on_chain))


def _awarded(ledger: Ledger, record: EscrowRecord) -> int:
    """What an award under way may take out of the market's reach, at most."""
    dispute = record.dispute
    if dispute is None or dispute.award is None or not dispute.ruling:
        return 0
    fee = dispute.fee if dispute.award.outcome == "upheld" else 0
    return fee + sum(
        ledger.balance(name)
        for address in dispute.award.culprits
        for name in (accounts.bond(address), accounts.unbonding(address))
    )


def bonded_in(ledger: Ledger) -> set[str]:
    """Everybody who has a bond in the books, or takes one back."""
    return {
        accounts.address_in(name)
        for prefix in ("bond:", "unbonding:")
        for name, _ in ledger.holdings(prefix)
    }


def customers_of(ledger: Ledger) -> set[str]:
    """Everybody whose money is in the books, free or bound to a task."""
    found = {accounts.address_in(name) for name, _ in ledger.holdings(accounts.CUSTOMER)}
    for prefix in _OF_TASKS:
        for name, _ in ledger.holdings(prefix):
            entry = ledger.find(f"reserve:{name.removeprefix(prefix)}")
            if entry is not None:
                found.add(accounts.address_in(entry.postings[0].account))
    return found
