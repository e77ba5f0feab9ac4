"""Escrows: what their transactions do to the state; `disputes` has those about a result.

Each rule looks at everything before it changes anything, and raises BadTransaction. Forms and
signatures have been checked.
"""

from node.l1.devchain import deposits
from node.l1.devchain.holdings import Closed, Escrow, escrow_key
from node.l1.devchain.slots import Slot
from node.l1.devchain.state import Overlay
from node.l1.errors import BadTransaction
from node.l1.escrow import (
    Opening,
    Refund,
    Settlement,
    claim_digest,
    escrow_id_of,
    payout,
)
from node.l1.escrow.forms import Approvals
from node.l1.transactions import Transaction


def open_escrow(form: Opening, tx: Transaction, overlay: Overlay, slot: Slot) -> None:
    """From the deposit of the customer at the sender, under the id of sender and task."""
    name = escrow_key(escrow_id_of(slot.chain_id, tx.from_address, form.task_id))
    if overlay.find(name, Escrow) or overlay.find(name, Closed):
        raise BadTransaction("task_id: the sender has used it before")
    check_deadline(form.deadline, form.grace, slot)
    deposits.bind(tx.from_address, form.customer, form.amount, overlay, slot, field="amount")
    overlay.hold(name, Escrow(tx.from_address, form, slot.height))


def settle(form: Settlement, _tx: Transaction, overlay: Overlay, slot: Slot) -> None:
    """Pay an open escrow out, by whose validators' signatures ever."""
    escrow = open_one(form.escrow_id, overlay)
    check_quorum(form.signatures, escrow.opening)
    dispute = escrow.undecided
    if dispute is not None and slot.height <= dispute.deadline:
        raise BadTransaction(f"escrow_id: is disputed until block {dispute.deadline}")
    close(form.escrow_id, escrow, overlay, slot, claim=claim_digest(form.claim))
    for address, units in payout(escrow.opening, escrow.market, form.claim).items():
        overlay.credit(address, units)


def refund(form: Refund, _tx: Transaction, overlay: Overlay, slot: Slot) -> None:
    """Back to the deposit: by signatures, or because it is late."""
    escrow = open_one(form.escrow_id, overlay)
    if form.signatures:
        check_quorum(form.signatures, escrow.opening)
    elif not is_late(escrow, slot.height):
        raise BadTransaction(f"signatures: are needed before block {late_from(escrow)}")
    close(form.escrow_id, escrow, overlay, slot)


def check_deadline(deadline: int, grace: int, slot: Slot) -> None:
    """Raise BadTransaction unless it is yet to come, and not too far away."""
    if deadline <= slot.height:
        raise BadTransaction(f"deadline: is not after block {slot.height}")
    most = slot.parameters.max_escrow_blocks
    if deadline + grace > slot.height + most:
        raise BadTransaction(f"deadline: is with the grace more than {most} blocks away")


def close(
    escrow_id: str,
    escrow: Escrow,
    overlay: Overlay,
    slot: Slot,
    *,
    claim: str | None = None,
    award: str | None = None,
) -> None:
    """Close an escrow for good: for a claim, which its caller pays, or back to the deposit.

    The fee of a dispute that was not decided goes back with either.
    """
    opening = escrow.opening
    closed = Closed(
        market=escrow.market,
        customer=opening.customer,
        units=opening.amount,
        opened=escrow.opened,
        closed=slot.height,
        claim=claim,
        award=award or escrow.award,
    )
    overlay.hold(escrow_key(escrow_id), closed)
    back = escrow.units - (opening.amount if claim else 0)
    if back:
        deposits.give_back(escrow.market, opening.customer, back, overlay)


def open_one(escrow_id: str, overlay: Overlay) -> Escrow:
    """The escrow of that name, if it is open."""
    closed = overlay.find(escrow_key(escrow_id), Closed)
    if closed is not None:
        how = "settled" if closed.claim else "refunded"
        raise BadTransaction(f"escrow_id: was {how} in block {closed.closed}")
    escrow = overlay.find(escrow_key(escrow_id), Escrow)
    if escrow is None:
        raise BadTransaction("escrow_id: no such escrow is open")
    return escrow


def check_quorum(signatures: Approvals, opening: Opening) -> None:
    """Raise BadTransaction unless enough of an escrow's set signed, and nobody else."""
    members = {one.public_key for one in opening.validators}
    for index, one in enumerate(signatures):
        if one.public_key not in members:
            raise BadTransaction(f"signatures[{index}].public_key: is not of the escrow's set")
    if len(signatures) < opening.k:
        raise BadTransaction(f"signatures: are {len(signatures)}, and {opening.k} are needed")


def late_from(escrow: Escrow) -> int:
    """The first block in which anybody may refund it.

    No earlier for a dispute that was decided: then there has to be time to settle it.
    """
    appeal = escrow.appeal
    deadline = max(escrow.opening.deadline, appeal.deadline if appeal else 0)
    return deadline + escrow.opening.grace + 1


def is_late(escrow: Escrow, height: int) -> bool:
    """Whether anybody may refund it."""
    return height >= late_from(escrow)
