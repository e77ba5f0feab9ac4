"""A bond, and what it becomes: the chain's rule, and that of whoever keeps a copy of it."""

import msgspec

from node.amounts import Amount
from node.split import BASIS_POINTS


class Leaving(msgspec.Struct, frozen=True):
    """A part of a bond on its way to the balance."""

    units: Amount
    height: int
    """The block in which it is there."""


class Bond(msgspec.Struct, frozen=True, tag="bond"):
    """An account's at a market, for the key of its node."""

    public_key: str
    units: Amount = Amount(0)
    leaving: tuple[Leaving, ...] = ()
    """By rising heights, one entry for each."""

    @property
    def total(self) -> int:
        """All that a slash reaches."""
        return self.units + self.unbonding

    @property
    def unbonding(self) -> int:
        """What is on its way out."""
        return sum(one.units for one in self.leaving)

    def more(self, units: int) -> "Bond":
        """With so many units more."""
        return msgspec.structs.replace(self, units=Amount(self.units + units))

    def leave(self, units: int, height: int) -> "Bond":
        """With so many of its units on their way, to be there in a block."""
        leaving = {one.height: one.units for one in self.leaving}
        leaving[height] = Amount(leaving.get(height, 0) + units)
        return Bond(
            self.public_key,
            Amount(self.units - units),
            tuple(Leaving(leaving[one], one) for one in sorted(leaving)),
        )

    def arrive(self, height: int) -> tuple["Bond", int]:
        """Without what is there in a block, and how much that is."""
        arrived = sum(one.units for one in self.leaving if one.height == height)
        leaving = tuple(one for one in self.leaving if one.height != height)
        return msgspec.structs.replace(self, leaving=leaving), arrived

    def slash(self, slash_bp: int) -> tuple["Bond", int]:
        """Without what an offence costs, and how much that is: a part of all, rounded up.

        It is taken from what is bonded first, then from what leaves last.
        """
        taken = -(-self.total * slash_bp // BASIS_POINTS)
        first = min(self.units, taken)
        rest, leaving = taken - first, []
        for one in reversed(self.leaving):
            cut = min(one.units, rest)
            rest -= cut
            if one.units > cut:
                leaving.append(Leaving(Amount(one.units - cut), one.height))
        units = Amount(self.units - first)
        return Bond(self.public_key, units, tuple(reversed(leaving))), taken
