"""Bonds: what their transactions do to the state, and what comes free in a block.

As in `escrows`, a rule looks at everything before it changes anything, and raises BadTransaction.
A bond is an account's at one market: what it does at another costs it there, and nothing here.
"""

from node.l1.devchain.holdings import Act, Bonded, Due, act_key, bond_key, due_key
from node.l1.devchain.slots import Slot
from node.l1.devchain.state import Overlay
from node.l1.errors import BadTransaction
from node.l1.escrow import Bond, Bonding, Slashing, Unbonding
from node.l1.transactions import Transaction

MAX_LEAVING = 16
"""Blocks in which parts of one bond come free."""


def bond(form: Bonding, tx: Transaction, overlay: Overlay, _slot: Slot) -> None:
    """From the sender's balance, for one key as long as anything is bonded at that market."""
    key = bond_key(tx.to_address or "", tx.from_address)
    before = overlay.find(key, Bond) or Bond(form.public_key)
    if before.public_key != form.public_key:
        raise BadTransaction("public_key: the sender is bonded with another key")
    overlay.hold(key, before.more(tx.amount))


def unbond(form: Unbonding, tx: Transaction, overlay: Overlay, slot: Slot) -> None:
    """Start a part of the sender's bond on its way to the balance."""
    whose = Bonded(form.market, tx.from_address)
    before = overlay.find(bond_key(form.market, tx.from_address), Bond)
    if before is None or before.units < form.amount:
        there = before.units if before else 0
        raise BadTransaction(f"amount: is more than the bond of {there} units")
    height = slot.height + slot.parameters.unbonding_blocks
    after = before.leave(form.amount, height)
    if len(after.leaving) > MAX_LEAVING:
        raise BadTransaction(f"amount: {MAX_LEAVING} parts of the bond are on their way already")
    put(overlay, whose, after)
    due = overlay.find(due_key(height), Due) or Due(())
    overlay.hold(due_key(height), Due(tuple(sorted({*due.bonds, whose}))))


def slash(form: Slashing, tx: Transaction, overlay: Overlay, slot: Slot) -> None:
    """Take a part of a bond for what its key did: half is burned, half is the sender's."""
    offence = slot.profile.offence(form)
    before = bond_of(overlay, form.market, form.offender, offence.public_key)
    if before is None:
        raise BadTransaction("offender: has no bond for the key in the evidence")
    act = act_key(form.market, form.offender, offence.act)
    if overlay.find(act, Act):
        raise BadTransaction("evidence: this act was slashed before")
    after, taken = before.slash(slot.parameters.slash_bp)
    overlay.hold(act, Act(slot.height))
    put(overlay, Bonded(form.market, form.offender), after)
    overlay.credit(tx.from_address, taken // 2)
    overlay.burned += taken - taken // 2


def release(overlay: Overlay, height: int) -> None:
    """Pay out what comes free in a block, before its transactions."""
    due = overlay.find(due_key(height), Due)
    for whose in due.bonds if due else ():
        before = overlay.find(bond_key(whose.market, whose.address), Bond)
        if before:
            after, arrived = before.arrive(height)
            overlay.credit(whose.address, arrived)
            put(overlay, whose, after)
    if due:
        overlay.hold(due_key(height), None)


def bond_of(overlay: Overlay, market: str, address: str, public_key: str) -> Bond | None:
    """An account's bond at a market, if it is for this key."""
    found = overlay.find(bond_key(market, address), Bond)
    return found if found and found.public_key == public_key else None


def put(overlay: Overlay, whose: Bonded, bond: Bond) -> None:
    """A bond of nothing is none, and binds its account to no key."""
    overlay.hold(bond_key(whose.market, whose.address), bond if bond.total else None)
