"""Money: integers of 10^-18 CPC inside, decimal strings of CPC outside, and nothing else.

An `Amount` is an `int` that a record or message can carry beyond 64 bits: it travels as decimal
text (`to_wire`, `from_wire`), which storage and p2p call for any type that has the two.
"""

import re
from typing import Self

from node.errors import InvalidInput

UNITS_PER_CPC = 10**18
MAX_AMOUNT = 10**36
"""Units. A billion times the chain's premine: anything above is a mistake or an attack."""

_DECIMALS = 18
_CPC_TEXT = re.compile(r"([0-9]{1,19})(?:\.([0-9]+))?", re.ASCII)
_WIRE_TEXT = re.compile(r"0|-?[1-9][0-9]{0,38}", re.ASCII)


class Amount(int):
    """An exact, possibly negative number of base units (10^-18 CPC)."""

    def to_wire(self) -> str:
        """Canonical decimal text of the number of units."""
        return str(int(self))

    @classmethod
    def from_wire(cls, value: object) -> Self:
        """Read back `to_wire`; raises ValueError for any other form."""
        if not isinstance(value, str) or not _WIRE_TEXT.fullmatch(value):
            raise ValueError(f"not an amount: {value!r}")
        return cls(value)


def parse_cpc(value: object, *, field: str = "amount") -> Amount:
    """Read a decimal string of CPC such as `"10.0"`; raises InvalidInput naming `field`.

    Only strings are taken: a JSON number has already lost exactness on its way.
    """
    if not isinstance(value, str):
        raise InvalidInput(
            f"must be a decimal string of CPC, got {type(value).__name__}",
            field=field,
            remedy='write it as a string, e.g. "10.0"',
        )
    match = _CPC_TEXT.fullmatch(value)
    if match is None:
        raise InvalidInput(
            f"is not a decimal number of CPC: {value[:40]!r}",
            field=field,
            remedy='use digits and at most one point, no sign and no exponent, e.g. "10.0"',
        )
    whole, fraction = match[1], (match[2] or "").rstrip("0")
    if len(fraction) > _DECIMALS:
        raise InvalidInput(
            f"has {len(fraction)} decimals, CPC has {_DECIMALS}", field=field, remedy="round it"
        )
    units = int(whole) * UNITS_PER_CPC + int(fraction.ljust(_DECIMALS, "0"))
    if units > MAX_AMOUNT:
        raise InvalidInput("is more CPC than can exist", field=field, remedy="use a lower amount")
    return Amount(units)


def parse_signed_cpc(text: str) -> Amount:
    """Read what `format_cpc` wrote, also of what went out; raises InvalidInput."""
    sign = -1 if text.startswith("-") else 1
    return Amount(sign * parse_cpc(text.removeprefix("-")))


def format_cpc(units: int) -> str:
    """Decimal text of CPC, at least one decimal, no trailing zeros beyond it: `10.0`."""
    sign = "-" if units < 0 else ""
    whole, fraction = divmod(abs(units), UNITS_PER_CPC)
    digits = f"{fraction:018d}".rstrip("0") or "0"
    return f"{sign}{whole}.{digits}"
