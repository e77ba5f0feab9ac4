"""Ways in which a chain and its node misbehave, off unless asked for.

The same happens in each run, so that a test that fails fails again.
"""

from collections.abc import Sequence
from typing import Self

import msgspec

from node.errors import InvalidInput


class Faults(msgspec.Struct, frozen=True, kw_only=True):
    """What goes wrong, one time in so many; 0 is never."""

    stuck_receipts: int = 0
    """1: receipts stay pending although the transaction is in a block."""
    late_events: int = 0
    """1: the event stream is looked after every 15 s only."""
    forgets: int = 0
    """So often, in blocks, everything that waits for the next one and all receipts are lost just
    before it is made, as when a node is restarted; 1: no block ever holds anything."""
    rolls_back: int = 0
    """So many blocks at the tip are given up for others, every ten blocks; what was in them waits
    for a block again."""
    rewrites: int = 0
    """So often, in TRANSFERs, the proposer moves the first digit of the amount to the end of the
    recipient: another transaction with the same hash, so that the signature fits."""
    lost_answers: int = 0
    """A request in so many is carried out and answered 503."""
    cut_answers: int = 0
    """An answer in so many ends in the middle."""
    late_answers: int = 0
    """An answer in so many takes `LATE_S`."""

    @classmethod
    def parse(cls, texts: Sequence[str]) -> Self:
        """Read `name` or `name=number`, with dashes. Raises InvalidInput."""
        found: dict[str, int] = {}
        for text in texts:
            name, _, number = text.partition("=") if "=" in text else (text, "", "1")
            field = name.replace("-", "_")
            if field not in cls.__struct_fields__ or not number.isdecimal():
                known = ", ".join(one.replace("_", "-") for one in cls.__struct_fields__)
                remedy = f"use NAME or NAME=NUMBER: {known}"
                raise InvalidInput(f"{text!r} is no fault", field="fault", remedy=remedy)
            found[field] = int(number)
        return cls(**found)


ROLLED_BACK_EVERY = 10
LATE_S = 3.0
