"""What the entries of a dispute must be, for `public_audit`.

Every entry by itself must have the form of its kind. With a receipt that carries the ruling all of
it can be worked out: the fee stands in the jury, who is paid follows from the rulings, and what was
at stake is what the market signed, since bonds are accounts that only it keeps.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

from node.amounts import Amount
from node.settlement import accounts
from node.settlement.bonds import slashed
from node.settlement.entries import Entry
from node.settlement.juries import jury_gains
from node.settlement.parameters import SettlementParameters
from node.split import jury_pay

UPHELD, SLASH = "upheld", "slash"
_PAYS = {UPHELD: ("appeal:",), SLASH: ("bond:", "unbonding:")}


class AtStake(msgspec.Struct, frozen=True):
    """What somebody had bonded and unbonding before a slash, in units."""

    address: str
    bonded: Amount
    unbonding: Amount


class Ruled(msgspec.Struct, frozen=True):
    """What a verified receipt says of a dispute."""

    task_id: str
    outcome: Literal["upheld", "overturned"]
    fee: Amount
    """That the customer put down, units."""
    price: Amount
    """Of such an appeal by the network's rules."""
    jurors: tuple[str, ...]
    """Addresses of those that computed what decided."""
    stakes: tuple[AtStake, ...] | None
    """Of those who answer for an overturned result; None if the receipt does not say."""


def form_problems(entry: Entry, rules: SettlementParameters) -> Iterator[str]:
    """What an entry of either kind may not be, whatever was ruled."""
    gains = {one.account: one.amount for one in entry.postings if one.amount > 0}
    paying = [one.account for one in entry.postings if one.amount < 0]
    jurors = [units for name, units in gains.items() if name.startswith("validator:")]
    others = gains.keys() - {accounts.BURN, accounts.FEES}
    strange = [name for name in others if not name.startswith("validator:")]
    strange += [name for name in paying if not name.startswith(_PAYS[entry.kind])]
    if strange:
        yield f"{entry.cause} moves money of {', '.join(sorted(strange)[:3])}"
    if len(set(jurors)) > 1:
        yield f"{entry.cause} pays jurors {min(jurors)} and {max(jurors)} units"
    if gains.get(accounts.FEES, 0) > rules.fee_reserve:
        yield f"{entry.cause} keeps {gains[accounts.FEES]} units for fees"
    if entry.kind == UPHELD and gains.get(accounts.BURN, 0) >= max(1, len(jurors)) and jurors:
        yield f"{entry.cause} burns {gains[accounts.BURN]} units that jurors could have"


def ruling_problems(
    ruled: Ruled, booked: dict[str, Entry], rules: SettlementParameters
) -> Iterator[str]:
    """How the entries that were shown (by cause) differ from what the ruling comes to."""
    if ruled.fee != ruled.price:
        yield f"its jury was promised {ruled.fee} units, the price of an appeal is {ruled.price}"
    ruling, slash, pay = (f"{kind}:{ruled.task_id}" for kind in ("ruling", "slash", "mature"))
    if ruled.outcome == UPHELD:
        yield from _differences(ruling, booked.get(ruling), _upheld(ruled, rules))
        never: Sequence[str] = (slash,)
    else:
        never = (ruling, pay)
        if ruled.stakes is None:
            yield "its receipt does not say what was at stake"
        else:
            yield from _differences(slash, booked.get(slash), _slash(ruled, ruled.stakes, rules))
    for cause in never:
        if cause in booked:
            yield f"a jury found the result {_WORDS[ruled.outcome]}, and {cause} is paid"


_WORDS = {"upheld": "right", "overturned": "false"}


def _upheld(ruled: Ruled, rules: SettlementParameters) -> Counter[str]:
    due = jury_gains(jury_pay(ruled.fee, ruled.jurors, rules.fee_reserve))
    due[accounts.appeal(ruled.task_id)] = -ruled.fee
    return due


def _slash(ruled: Ruled, stakes: Sequence[AtStake], rules: SettlementParameters) -> Counter[str]:
    taken: Counter[str] = Counter()
    for one in stakes:
        bonded, unbonding = slashed(one.bonded, one.unbonding, rules.slash_bp)
        taken[accounts.bond(one.address)] = -bonded
        taken[accounts.unbonding(one.address)] = -unbonding
    total = -sum(taken.values())
    due = jury_gains(jury_pay(total, ruled.jurors, rules.fee_reserve, most=ruled.fee))
    due.update(taken)
    return due


def _differences(cause: str, entry: Entry | None, due: Counter[str]) -> Iterator[str]:
    if entry is None:
        if any(due.values()):
            yield f"no payout has {cause}"
        return
    booked = Counter({one.account: one.amount for one in entry.postings})
    for name in sorted(booked.keys() | due.keys()):
        if booked[name] != due[name]:
            yield f"{cause} moves {booked[name]} units of {name}, it should be {due[name]}"
