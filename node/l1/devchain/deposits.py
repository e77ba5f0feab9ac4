"""Deposits: what their transactions do to the state, and what escrows take and give back.

Each rule looks at everything before it changes anything, and raises BadTransaction. Forms and
signatures have been checked.
"""

from node.amounts import Amount
from node.l1.devchain.holdings import Deposit, deposit_key
from node.l1.devchain.slots import Slot
from node.l1.devchain.state import Overlay
from node.l1.errors import BadTransaction
from node.l1.escrow import CustomerWithdrawal, Depositing, MarketWithdrawal
from node.l1.transactions import Transaction


def deposit(form: Depositing, tx: Transaction, overlay: Overlay, _slot: Slot) -> None:
    """From the sender's balance; a notice that was given is over if it was the sender's own.

    Else anybody could keep a customer from leaving, with a unit before each notice runs out.
    """
    customer = form.customer or tx.from_address
    key = deposit_key(tx.to_address or "", customer)
    after = (overlay.find(key, Deposit) or Deposit()).more(tx.amount)
    overlay.hold(key, Deposit(after.units) if customer == tx.from_address else after)


def withdraw_for(form: MarketWithdrawal, tx: Transaction, overlay: Overlay, _slot: Slot) -> None:
    """By the market: to the customer's balance."""
    key = deposit_key(tx.from_address, form.customer)
    overlay.hold(key, _less(overlay.find(key, Deposit), form.amount))
    overlay.credit(form.customer, form.amount)


def withdraw_all(form: CustomerWithdrawal, tx: Transaction, overlay: Overlay, slot: Slot) -> None:
    """By the customer: the notice, or, when it has run out, all that is there."""
    key = deposit_key(form.market, tx.from_address)
    before = overlay.find(key, Deposit)
    if before is None:
        raise BadTransaction("market: holds no deposit of the sender")
    if before.notice is None:
        overlay.hold(key, Deposit(before.units, slot.height))
        return
    if not _is_free(before, slot):
        free = before.notice + slot.parameters.deposit_notice_blocks
        raise BadTransaction(f"market: the notice runs until block {free}")
    if not before.units:
        raise BadTransaction("market: nothing is left of the deposit")
    overlay.hold(key, Deposit(Amount(0), before.notice))
    overlay.credit(tx.from_address, before.units)


def check_free(
    market: str, customer: str, units: int, overlay: Overlay, slot: Slot, *, field: str
) -> None:
    """Raise BadTransaction unless a market can bind so much of its customer's deposit."""
    before = overlay.find(deposit_key(market, customer), Deposit)
    if before is not None and _is_free(before, slot):
        raise BadTransaction(f"{field}: the customer withdrew its deposit by notice")
    _less(before, units, field)


def bind(market: str, customer: str, units: int, overlay: Overlay) -> None:
    """Take what a market binds out of a deposit of its customer's, after `check_free`."""
    key = deposit_key(market, customer)
    overlay.hold(key, _less(overlay.find(key, Deposit), units))


def give_back(market: str, customer: str, units: int, overlay: Overlay) -> None:
    """Add what was bound before; a notice goes on, so that it may be free at once."""
    key = deposit_key(market, customer)
    before = overlay.find(key, Deposit)
    assert before is not None, "it was taken from there"
    overlay.hold(key, before.more(units))


def _less(before: Deposit | None, units: int, field: str = "amount") -> Deposit:
    if before is None or before.units < units:
        there = before.units if before else 0
        raise BadTransaction(f"{field}: is more than the deposit of {there} units")
    return Deposit(Amount(before.units - units), before.notice)


def _is_free(before: Deposit, slot: Slot) -> bool:
    """Whether the customer gave notice long enough ago."""
    notice = before.notice
    return notice is not None and slot.height >= notice + slot.parameters.deposit_notice_blocks
