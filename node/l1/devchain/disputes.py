"""Disputes about an escrow's result: what an appeal and an award do to the state.

As in `escrows`, a rule looks at everything before it changes anything, and raises BadTransaction.
"""

from typing import NamedTuple

import msgspec

from node.l1.devchain import bonds, deposits, escrows
from node.l1.devchain.holdings import Appeal, Bonded, Escrow, escrow_key
from node.l1.devchain.slots import Slot
from node.l1.devchain.state import Overlay
from node.l1.errors import BadTransaction
from node.l1.escrow import Act, Appealing, Awarding, Bond, award_digest, award_payout
from node.l1.transactions import Transaction


class Slashed(NamedTuple):
    """What an award takes from a bond, and leaves of it."""

    whose: Bonded
    left: Bond
    taken: int


def appeal(form: Appealing, tx: Transaction, overlay: Overlay, slot: Slot) -> None:
    """By the market: the fee out of the deposit, and no claim settles the escrow until then."""
    escrow = escrows.open_one(form.escrow_id, overlay)
    if tx.from_address != escrow.market:
        raise BadTransaction("from_address: is not the market that opened the escrow")
    if escrow.appeal:
        raise BadTransaction("escrow_id: was disputed before")
    if escrows.is_late(escrow, overlay, slot.height):
        raise BadTransaction("escrow_id: is late, and can be refunded")
    escrows.check_deadline(form.deadline, escrows.terms_of(escrow, overlay).grace, slot)
    customer = escrow.customer
    deposits.check_free(escrow.market, customer, form.fee, overlay, slot, field="fee")
    deposits.bind(escrow.market, customer, form.fee, overlay)
    _hold(form.escrow_id, escrow, overlay, appeal=Appeal(form.fee, form.deadline))


def rule(form: Awarding, _tx: Transaction, overlay: Overlay, slot: Slot) -> None:
    """Do what a quorum's award says about a dispute, in time or late, but once."""
    escrow = escrows.open_one(form.escrow_id, overlay)
    dispute = escrow.undecided
    if dispute is None:
        problem = "was decided before" if escrow.award else "is not disputed"
        raise BadTransaction(f"escrow_id: {problem}")
    terms = escrows.terms_of(escrow, overlay)
    escrows.check_quorum(form.signatures, terms)
    slashed = _slashed(form, escrow, overlay, slot)
    award, digest = form.award, award_digest(form.award)
    for one in slashed:
        bonds.put(overlay, one.whose, one.left)
    if award.outcome == "overturned":
        escrows.close(form.escrow_id, escrow, overlay, slot, award=digest)
    else:
        _hold(form.escrow_id, escrow, overlay, award=digest)
    if award.outcome == "inconclusive":
        deposits.give_back(escrow.market, escrow.customer, dispute.fee, overlay)
    taken = sum(one.taken for one in slashed)
    opening = escrow.opening(terms)
    pay = award_payout(opening, escrow.market, award, fee=dispute.fee, taken=taken)
    for address, units in pay.items():
        overlay.credit(address, units)


def _slashed(form: Awarding, escrow: Escrow, overlay: Overlay, slot: Slot) -> tuple[Slashed, ...]:
    """Of each culprit that has a bond at this market for the key that signed."""
    found = []
    for index, (act, key) in enumerate(zip(form.acts, form.award.keys, strict=True)):
        _check_task(index, act, escrow, slot)
        before = bonds.bond_of(overlay, escrow.market, act.address, key)
        if before is not None:
            left, taken = before.slash(slot.parameters.slash_bp)
            found.append(Slashed(Bonded(escrow.market, act.address), left, taken))
    return tuple(found)


def _check_task(index: int, act: Act, escrow: Escrow, slot: Slot) -> None:
    try:
        signed = slot.profile.signed(act)
    except BadTransaction as error:
        raise BadTransaction(f"acts[{index}].{error.problem}") from error
    if signed.task_id != escrow.task_id:
        raise BadTransaction(f"acts[{index}].evidence: is about another task than the escrow")


def _hold(escrow_id: str, escrow: Escrow, overlay: Overlay, **changes: object) -> None:
    overlay.hold(escrow_key(escrow_id), msgspec.structs.replace(escrow, **changes))
