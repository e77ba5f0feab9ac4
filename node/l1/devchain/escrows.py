"""Escrows: what their transactions do to the state; `disputes` has those about a result.

Each rule looks at everything before it changes anything, and raises BadTransaction. Forms and
signatures have been checked.
"""

from collections import Counter

from node.l1.devchain import deposits
from node.l1.devchain.holdings import Closed, Escrow, Terms, escrow_key, terms_key
from node.l1.devchain.slots import Slot
from node.l1.devchain.state import Overlay
from node.l1.errors import BadTransaction
from node.l1.escrow import (
    Openings,
    OpeningTerms,
    Refund,
    Settlement,
    claim_digest,
    escrow_id_of,
    payout,
)
from node.l1.escrow.forms import Approvals
from node.l1.transactions import Transaction


def open_escrows(form: Openings, tx: Transaction, overlay: Overlay, slot: Slot) -> None:
    """From the deposits of the customers at the sender, each under the id of sender and task."""
    market, needed = tx.from_address, Counter[str]()
    terms = Terms(OpeningTerms(**form.named))
    digest = terms.digest
    opened = _to_be_opened(form, market, digest, overlay, slot)
    for escrow in opened.values():
        needed[escrow.customer] += escrow.amount
    for index, customer in enumerate(form.customers):
        field = f"customers[{index}]"
        deposits.check_free(market, customer, needed[customer], overlay, slot, field=field)
    for customer, units in needed.items():
        deposits.bind(market, customer, units, overlay)
    if overlay.find(terms_key(digest), Terms) is None:
        overlay.hold(terms_key(digest), terms)
    for name, escrow in opened.items():
        overlay.hold(name, escrow)


def settle(form: Settlement, _tx: Transaction, overlay: Overlay, slot: Slot) -> None:
    """Pay open escrows out, by whose validators' signatures ever: all of them, or none."""
    claims, pay = form.each, Counter[str]()
    escrows = [
        _to_be_settled(escrow_id, f"claims[{index}].escrow_id", form.signatures, overlay, slot)
        for index, escrow_id in enumerate(claims)
    ]
    for (escrow_id, claim), escrow in zip(claims.items(), escrows, strict=True):
        close(escrow_id, escrow, overlay, slot, claim=claim_digest(claim))
        opening = escrow.opening(terms_of(escrow, overlay))
        pay.update(payout(opening, escrow.market, claim))
    for address, units in pay.items():
        overlay.credit(address, units)


def refund(form: Refund, _tx: Transaction, overlay: Overlay, slot: Slot) -> None:
    """Back to the deposit: by signatures, or because it is late."""
    escrow = open_one(form.escrow_id, overlay)
    if form.signatures:
        check_quorum(form.signatures, terms_of(escrow, overlay))
    elif not is_late(escrow, overlay, slot.height):
        raise BadTransaction(f"signatures: are needed before block {late_from(escrow, overlay)}")
    close(form.escrow_id, escrow, overlay, slot)


def check_deadline(deadline: int, grace: int, slot: Slot, *, field: str = "deadline") -> None:
    """Raise BadTransaction unless it is yet to come, and not too far away."""
    if deadline <= slot.height:
        raise BadTransaction(f"{field}: is not after block {slot.height}")
    most = slot.parameters.max_escrow_blocks
    if deadline + grace > slot.height + most:
        raise BadTransaction(f"{field}: is with the grace more than {most} blocks away")


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
    closed = Closed(
        market=escrow.market,
        customer=escrow.customer,
        units=escrow.amount,
        opened=escrow.opened,
        closed=slot.height,
        claim=claim,
        award=award or escrow.award,
    )
    overlay.hold(escrow_key(escrow_id), closed)
    back = escrow.units - (escrow.amount if claim else 0)
    if back:
        deposits.give_back(escrow.market, escrow.customer, back, overlay)


def open_one(escrow_id: str, overlay: Overlay, *, field: str = "escrow_id") -> Escrow:
    """The escrow of that name, if it is open."""
    closed = overlay.find(escrow_key(escrow_id), Closed)
    if closed is not None:
        how = "settled" if closed.claim else "refunded"
        raise BadTransaction(f"{field}: was {how} in block {closed.closed}")
    escrow = overlay.find(escrow_key(escrow_id), Escrow)
    if escrow is None:
        raise BadTransaction(f"{field}: no such escrow is open")
    return escrow


def terms_of(escrow: Escrow, overlay: Overlay) -> OpeningTerms:
    """What an escrow was opened under."""
    record = overlay.find(terms_key(escrow.terms), Terms)
    assert record is not None, "terms stay"
    return record.terms


def check_quorum(signatures: Approvals, terms: OpeningTerms) -> None:
    """Raise BadTransaction unless enough of an escrow's set signed, and nobody else."""
    members = {one.public_key for one in terms.validators}
    for index, one in enumerate(signatures):
        if one.public_key not in members:
            raise BadTransaction(f"signatures[{index}].public_key: is not of the escrow's set")
    if len(signatures) < terms.k:
        raise BadTransaction(f"signatures: are {len(signatures)}, and {terms.k} are needed")


def late_from(escrow: Escrow, overlay: Overlay) -> int:
    """The first block in which anybody may refund it.

    No earlier for a dispute that was decided: then there has to be time to settle it.
    """
    appeal = escrow.appeal
    deadline = max(escrow.deadline, appeal.deadline if appeal else 0)
    return deadline + terms_of(escrow, overlay).grace + 1


def is_late(escrow: Escrow, overlay: Overlay, height: int) -> bool:
    """Whether anybody may refund it."""
    return height >= late_from(escrow, overlay)


def _to_be_opened(
    form: Openings, market: str, terms: str, overlay: Overlay, slot: Slot
) -> dict[str, Escrow]:
    """Each by its key, under the terms with this digest."""
    opened = {}
    for index, row in enumerate(form.tasks):
        name = escrow_key(escrow_id_of(slot.chain_id, market, row.task_id))
        if overlay.find(name, Escrow) or overlay.find(name, Closed):
            raise BadTransaction(f"tasks[{index}].task_id: the sender has used it before")
        check_deadline(row.deadline, form.grace, slot, field=f"tasks[{index}].deadline")
        customer = form.customers[row.customer]
        opened[name] = Escrow(
            market, row.task_id, customer, row.amount, row.deadline, terms, slot.height
        )
    return opened


def _to_be_settled(
    escrow_id: str, field: str, signatures: Approvals, overlay: Overlay, slot: Slot
) -> Escrow:
    escrow = open_one(escrow_id, overlay, field=field)
    check_quorum(signatures, terms_of(escrow, overlay))
    dispute = escrow.undecided
    if dispute is not None and slot.height <= dispute.deadline:
        raise BadTransaction(f"{field}: is disputed until block {dispute.deadline}")
    return escrow
