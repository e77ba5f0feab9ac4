"""Whom a settlement pays, by the arithmetic that all markets share."""

from collections import Counter
from collections.abc import Sequence

from node.l1.escrow.forms import Award, Claim, Opening, Payee
from node.split import JuryPay, Payees, jury_pay, split


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


def award_payout(
    opening: Opening, market: str, award: Award, *, fee: int, taken: int
) -> dict[str, int]:
    """Units for each address of what decides a dispute, none of them 0.

    Where the result stands they are the appeal's `fee`; where it is overturned, what bonds lost
    (`taken`), of which jurors get as much as the fee would have been. Else nobody gets any.
    """
    pay: Counter[str] = Counter()
    for address, units in _parts(opening, market, _jury_pay(opening, award, fee, taken)):
        pay[address] += units
    return {address: units for address, units in pay.items() if units}


def _jury_pay(opening: Opening, award: Award, fee: int, taken: int) -> JuryPay:
    if award.outcome == "upheld":
        return jury_pay(fee, award.jurors, opening.fee_reserve)
    if award.outcome == "overturned":
        return jury_pay(taken, award.jurors, opening.fee_reserve, most=fee)
    return JuryPay((), 0, 0)


def _parts(opening: Opening, market: str, pay: JuryPay) -> tuple[tuple[str, int], ...]:
    return (*pay.jurors, (market, pay.fees), (opening.burn_address, pay.burn))


def _weights(payees: Sequence[Payee]) -> dict[str, int]:
    return {payee.address: payee.weight for payee in payees}
