"""Deposits and escrows: what their transactions do to the state.

Each rule looks at everything before it changes anything, and raises BadTransaction. Forms and
signatures have been checked.
"""

from node.amounts import Amount
from node.l1.devchain.holdings import Closed, Deposit, Escrow, deposit_key, escrow_key
from node.l1.devchain.slots import Slot
from node.l1.devchain.state import Overlay
from node.l1.errors import BadTransaction
from node.l1.escrow import (
    CustomerWithdrawal,
    Depositing,
    MarketWithdrawal,
    Opening,
    Refund,
    Settlement,
    claim_digest,
    escrow_id_of,
    payout,
)
from node.l1.escrow.forms import Approvals
from node.l1.transactions import Transaction


def deposit(form: Depositing, tx: Transaction, overlay: Overlay, _slot: Slot) -> None:
    """From the sender's balance; the owner's own ends the notice that it gave."""
    owner = form.customer or tx.from_address
    key = deposit_key(tx.to_address or "", owner)
    before = overlay.find(key, Deposit) or Deposit()
    notice = None if owner == tx.from_address else before.notice
    overlay.hold(key, Deposit(Amount(before.units + tx.amount), notice))


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


def open_escrow(form: Opening, tx: Transaction, overlay: Overlay, slot: Slot) -> None:
    """From the deposit of the customer at the sender, under the id of sender and task."""
    name = escrow_key(escrow_id_of(slot.chain_id, tx.from_address, form.task_id))
    if overlay.find(name, Escrow) or overlay.find(name, Closed):
        raise BadTransaction("task_id: the sender has used it before")
    if form.deadline <= slot.height:
        raise BadTransaction(f"deadline: is not after block {slot.height}")
    if form.deadline + form.grace > slot.height + slot.parameters.max_escrow_blocks:
        most = slot.parameters.max_escrow_blocks
        raise BadTransaction(f"deadline: is with the grace more than {most} blocks away")
    key = deposit_key(tx.from_address, form.customer)
    before = overlay.find(key, Deposit)
    if before is not None and _is_free(before, slot):
        raise BadTransaction("customer: withdrew its deposit by notice")
    overlay.hold(key, _less(before, form.amount))
    overlay.hold(name, Escrow(tx.from_address, form, slot.height))


def settle(form: Settlement, _tx: Transaction, overlay: Overlay, slot: Slot) -> None:
    """Pay an open escrow out, by whose validators' signatures ever."""
    escrow = _open_one(form.escrow_id, overlay)
    _check_quorum(form.signatures, escrow.opening)
    overlay.hold(escrow_key(form.escrow_id), _closed(escrow, slot, claim_digest(form.claim)))
    for address, units in payout(escrow.opening, escrow.market, form.claim).items():
        overlay.credit(address, units)


def refund(form: Refund, _tx: Transaction, overlay: Overlay, slot: Slot) -> None:
    """Back to the deposit: by signatures, or because it is late."""
    escrow = _open_one(form.escrow_id, overlay)
    opening = escrow.opening
    if form.signatures:
        _check_quorum(form.signatures, opening)
    elif slot.height <= opening.deadline + opening.grace:
        late = opening.deadline + opening.grace + 1
        raise BadTransaction(f"signatures: are needed before block {late}")
    overlay.hold(escrow_key(form.escrow_id), _closed(escrow, slot, None))
    key = deposit_key(escrow.market, opening.customer)
    before = overlay.find(key, Deposit)
    assert before is not None, "an escrow was opened from it"
    overlay.hold(key, Deposit(Amount(before.units + opening.amount), before.notice))


def _less(before: Deposit | None, units: int) -> Deposit:
    if before is None or before.units < units:
        there = before.units if before else 0
        raise BadTransaction(f"amount: is more than the deposit of {there} units")
    return Deposit(Amount(before.units - units), before.notice)


def _is_free(before: Deposit, slot: Slot) -> bool:
    """Whether the customer gave notice long enough ago."""
    notice = before.notice
    return notice is not None and slot.height >= notice + slot.parameters.deposit_notice_blocks


def _open_one(escrow_id: str, overlay: Overlay) -> Escrow:
    closed = overlay.find(escrow_key(escrow_id), Closed)
    if closed is not None:
        how = "settled" if closed.claim else "refunded"
        raise BadTransaction(f"escrow_id: was {how} in block {closed.closed}")
    escrow = overlay.find(escrow_key(escrow_id), Escrow)
    if escrow is None:
        raise BadTransaction("escrow_id: no such escrow is open")
    return escrow


def _check_quorum(signatures: Approvals, opening: Opening) -> None:
    members = {one.public_key for one in opening.validators}
    for index, one in enumerate(signatures):
        if one.public_key not in members:
            raise BadTransaction(f"signatures[{index}].public_key: is not of the escrow's set")
    if len(signatures) < opening.k:
        raise BadTransaction(f"signatures: are {len(signatures)}, and {opening.k} are needed")


def _closed(escrow: Escrow, slot: Slot, claim: str | None) -> Closed:
    opening = escrow.opening
    return Closed(
        market=escrow.market,
        customer=opening.customer,
        units=opening.amount,
        opened=escrow.opened,
        closed=slot.height,
        claim=claim,
    )
