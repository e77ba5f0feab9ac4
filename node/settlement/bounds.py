"""What an account may hold: nothing below zero, but for the few that may owe.

A customer may owe for tasks, up to what the operator's money in the customer's `credit:` account
covers. Whatever a customer owes is therefore there, and the operator's to lose: customer and credit
together are never negative.
"""

from collections.abc import Callable, Mapping, Sequence

from node.amounts import format_cpc
from node.errors import InsufficientFunds
from node.settlement import accounts
from node.settlement.accounts import CREDIT, CUSTOMER, FEES, L1, MAY_OWE, address_in
from node.settlement.entries import FEE_TAKEN, ON_CREDIT, Posting
from node.settlement.errors import Overdrawn

Held = Callable[[str], int]


def check_balances(
    kind: str, cause: str, postings: Sequence[Posting], after: Mapping[str, int], held: Held
) -> None:
    """Raise unless each account may hold what it would `after` an entry; `held` tells of others.

    Raises:
        InsufficientFunds: a customer would owe more than the credit, or owe for anything else than
            a task.
        Overdrawn: another account would be negative, or a credit less than what is owed.
    """
    for one in postings:
        amount = after[one.account]
        if one.account.startswith(CUSTOMER):
            _check_customer(one, amount, kind, held)
        elif one.account.startswith(CREDIT):
            owed = max(0, -_of(accounts.customer(address_in(one.account)), after, held))
            _check_not_negative(one.account, amount - owed, cause)
        elif (one.account, kind) != (FEES, FEE_TAKEN):
            _check_not_negative(one.account, amount, cause)


def may_hold(account: str, totals: Mapping[str, int]) -> bool:
    """Whether all of the balances allow this account its own."""
    if totals[account] >= 0 or account in MAY_OWE:
        return True
    if not account.startswith(CUSTOMER):
        return False
    return totals[account] + totals.get(accounts.credit(address_in(account)), 0) >= 0


def _check_customer(one: Posting, after: int, kind: str, held: Held) -> None:
    limit = held(accounts.credit(address_in(one.account))) if kind == ON_CREDIT else 0
    if one.amount < 0 and after < -limit:
        raise InsufficientFunds(
            f"{format_cpc(-after - limit)} CPC are missing",
            remedy="deposit CPC with the market first",
        )


def _of(account: str, after: Mapping[str, int], held: Held) -> int:
    return after[account] if account in after else held(account)


def _check_not_negative(account: str, amount: int, cause: str) -> None:
    if amount < 0 and account != L1:
        raise Overdrawn(f"{cause}: {account} would hold {amount} units")
