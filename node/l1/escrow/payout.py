"""Whom a settlement pays, by the arithmetic that all markets share."""

from collections import Counter
from collections.abc import Sequence

from node.l1.escrow.forms import Claim, Opening, Payee
from node.split import Payees, split


def payees_of(claim: Claim) -> Payees:
    """The claim's payees, as `split` takes them."""
    return Payees(_weights(claim.workers), _weights(claim.validators), claim.orchestrator)


def payout(opening: Opening, market: str, claim: Claim) -> dict[str, int]:
    """Units for each address, none of them 0; they add up to the escrow's amount.

    The fee reserve goes to the market, which pays the fees. Opening and claim have been checked.
    """
    parts = split(opening.amount, opening.shares.shares, payees_of(claim), opening.fee_reserve)
    pay: Counter[str] = Counter()
    for address, units in (
        *parts.workers,
        *parts.validators,
        (market, parts.fees),
        (opening.treasury_address, parts.treasury),
        (opening.burn_address, parts.burn),
    ):
        pay[address] += units
    return {address: units for address, units in pay.items() if units}


def _weights(payees: Sequence[Payee]) -> dict[str, int]:
    return {payee.address: payee.weight for payee in payees}
