"""Bonds: what their transactions do to the state, and what comes free in a block.

As in `escrows`, a rule looks at everything before it changes anything, and raises BadTransaction.
"""

import msgspec

from node.amounts import Amount
from node.l1.devchain.holdings import Act, Bond, Due, Leaving, act_key, bond_key, due_key
from node.l1.devchain.slots import Slot
from node.l1.devchain.state import Overlay
from node.l1.errors import BadTransaction
from node.l1.escrow import Bonding, Slashing, Unbonding
from node.l1.transactions import Transaction
from node.split import BASIS_POINTS

MAX_LEAVING = 16
"""Blocks in which parts of one bond come free."""


def bond(form: Bonding, tx: Transaction, overlay: Overlay, _slot: Slot) -> None:
    """From the sender's balance, for one key as long as anything is bonded."""
    key = bond_key(tx.from_address)
    before = overlay.find(key, Bond) or Bond(form.public_key, Amount(0))
    if before.public_key != form.public_key:
        raise BadTransaction("public_key: the sender is bonded with another key")
    units = Amount(before.units + tx.amount)
    overlay.hold(key, msgspec.structs.replace(before, units=units))


def unbond(form: Unbonding, tx: Transaction, overlay: Overlay, slot: Slot) -> None:
    """Start a part of the sender's bond on its way to the balance."""
    before = overlay.find(bond_key(tx.from_address), Bond)
    if before is None or before.units < form.amount:
        there = before.units if before else 0
        raise BadTransaction(f"amount: is more than the bond of {there} units")
    height = slot.height + slot.parameters.unbonding_blocks
    leaving = {one.height: one.units for one in before.leaving}
    leaving[height] = Amount(leaving.get(height, 0) + form.amount)
    if len(leaving) > MAX_LEAVING:
        raise BadTransaction(f"amount: {MAX_LEAVING} parts of the bond are on their way already")
    after = msgspec.structs.replace(
        before,
        units=Amount(before.units - form.amount),
        leaving=tuple(Leaving(leaving[one], one) for one in sorted(leaving)),
    )
    overlay.hold(bond_key(tx.from_address), after)
    due = overlay.find(due_key(height), Due) or Due(())
    addresses = tuple(sorted({*due.addresses, tx.from_address}))
    overlay.hold(due_key(height), Due(addresses))


def slash(form: Slashing, tx: Transaction, overlay: Overlay, slot: Slot) -> None:
    """Take a part of a bond for what its key did: half is burned, half is the sender's."""
    offence = slot.profile.offence(form)
    before = overlay.find(bond_key(form.offender), Bond)
    if before is None or before.public_key != offence.public_key:
        raise BadTransaction("offender: has no bond for the key in the evidence")
    act = act_key(form.offender, offence.act)
    if overlay.find(act, Act):
        raise BadTransaction("evidence: this act was slashed before")
    taken = -(-before.total * slot.parameters.slash_bp // BASIS_POINTS)
    overlay.hold(act, Act(slot.height))
    _put(overlay, form.offender, _without(before, taken))
    overlay.credit(tx.from_address, taken // 2)
    overlay.burned += taken - taken // 2


def release(overlay: Overlay, height: int) -> None:
    """Pay out what comes free in a block, before its transactions."""
    due = overlay.find(due_key(height), Due)
    for address in due.addresses if due else ():
        before = overlay.find(bond_key(address), Bond)
        for one in before.leaving if before else ():
            if one.height == height:
                overlay.credit(address, one.units)
        if before:
            leaving = tuple(one for one in before.leaving if one.height != height)
            _put(overlay, address, msgspec.structs.replace(before, leaving=leaving))
    if due:
        overlay.hold(due_key(height), None)


def _without(before: Bond, units: int) -> Bond:
    """What a slash leaves: it takes from the bond first, then from what leaves last."""
    taken = min(before.units, units)
    rest, leaving = units - taken, []
    for one in reversed(before.leaving):
        cut = min(one.units, rest)
        rest -= cut
        if one.units > cut:
            leaving.append(Leaving(Amount(one.units - cut), one.height))
    units_left = Amount(before.units - taken)
    return Bond(before.public_key, units_left, tuple(reversed(leaving)))


def _put(overlay: Overlay, address: str, bond: Bond) -> None:
    """A bond of nothing is none, and binds its account to no key."""
    overlay.hold(bond_key(address), bond if bond.total else None)
