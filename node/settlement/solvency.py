"""Whether a market's account on the chain has the money that its books owe."""

import msgspec

from node.amounts import Amount, format_cpc
from node.settlement.audit import AuditReport
from node.settlement.ledger import Ledger


class Solvency(msgspec.Struct, frozen=True):
    """What is owed, and what there is."""

    held: Amount
    """Units held for others, by the books."""
    leaving: Amount
    """Of these, in payments that the books have not yet seen in a confirmed block: the chain may
    have taken them from the account, or not yet."""
    on_chain: Amount
    """Units that the chain says the account has. Deposits that the books do not have yet, and the
    operator's own money, are among them."""

    @property
    def missing(self) -> int:
        """Units that are owed and not there; 0 if all is well."""
        return max(0, self.held - self.leaving - self.on_chain)

    @property
    def findings(self) -> tuple[str, ...]:
        """What is wrong, in a sentence, if anything is."""
        if not self.missing:
            return ()
        owed, there = format_cpc(self.held - self.leaving), format_cpc(self.on_chain)
        return (f"the account on the chain has {there} CPC, the books owe {owed} CPC",)


def solvency(ledger: Ledger, report: AuditReport, on_chain: int) -> Solvency:
    """Compare audited books with the chain's balance of the market's account."""
    leaving = sum(amount for _, amount in ledger.holdings("outbox:"))
    return Solvency(Amount(report.held), Amount(leaving), Amount(on_chain))
