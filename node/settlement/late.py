"""What of a market's money has stayed too long where it is, as its settlement tells it.

Pure looks at the books; the limits are in `node.deadlines`. What both back ends have alike is here.
"""

from collections.abc import Callable, Iterable, Iterator

import msgspec

from node import deadlines
from node.amounts import format_cpc
from node.settlement.ledger import Ledger

RESTART = "read its log; if nothing helps, restart it: everything goes on from what is stored"
AGAIN = (
    "the same bytes are sent again; restore the L1 if it is away, and see that the market's account"
    " has CPC for fees"
)


class Late(msgspec.Struct, frozen=True):
    """Something that should have moved on."""

    what: str
    about: str
    """Which."""
    until_ms: int
    """When it should have, Unix milliseconds."""
    reason: str
    remedy: str


def ms(seconds: float) -> int:
    """Milliseconds."""
    return round(seconds * 1000)


def undone(what: str, about: str, since_ms: int, reason: str) -> Late:
    """Something that the market does at once."""
    return Late(what, about, since_ms + ms(deadlines.GRACE_S), reason, RESTART)


def unconfirmed(what: str, about: str, since_ms: int, reason: str, remedy: str = AGAIN) -> Late:
    """Something that is sent, and waits for a block."""
    return Late(what, about, since_ms + ms(deadlines.UNCONFIRMED_S), reason, remedy)


def unsigned(
    what: str,
    about: str,
    since_ms: int,
    *,
    now_ms: int,
    why: Callable[[], Iterable[str]],
    remedy: str,
) -> Late | None:
    """Something that lacks signatures; None while it may, when nobody looks for who has not signed
    (`why`)."""
    until_ms = since_ms + ms(deadlines.UNSIGNED_S)
    if until_ms >= now_ms:
        return None
    return Late(what, about, until_ms, "; ".join(one for one in why() if one), remedy)


def late_payments(ledger: Ledger, now_ms: int, trouble: str) -> Iterator[Late]:
    """Payments that no confirmed block holds; `trouble` is what is wrong with the chain."""
    for account, units in ledger.holdings("outbox:"):
        entry = ledger.find(account.removeprefix("outbox:"))
        until_ms = 0 if entry is None else entry.at_ms + ms(deadlines.UNCONFIRMED_S)
        if entry is not None and until_ms < now_ms:
            yield Late(
                "payment",
                f"{entry.cause} ({format_cpc(units)} CPC)",
                until_ms,
                trouble or "no confirmed block holds it",
                "nothing: the same bytes are sent again; restore the L1 if it is away",
            )
