"""What a node thinks of another: strikes that fade, and a bar for the worst.

Strikes only make a worker's turn come later. Whoever was found `invalid` by a quorum gets no job
for a while; `withheld` is a strike, and the third within an hour counts as invalid. Nothing here
says what a network should do about it: each orchestrator keeps its own book.
"""

import msgspec

HALF_LIFE_MS = 600_000
"""After so long half of a strike is left."""
NEGLIGIBLE = 0.05
"""Strikes below this are none."""
WITHHELD_WINDOW_MS = 3_600_000
MOST_WITHHELD = 3
"""So many withheld results within the window count as an invalid one."""


class Standing(msgspec.Struct, frozen=True):
    """One worker's record; times in Unix milliseconds."""

    strikes: float = 0.0
    """As of `at_ms`."""
    at_ms: int = 0
    barred_until_ms: int = 0
    withheld_ms: tuple[int, ...] = ()
    """When its results were found withheld, the latest of them."""


CLEAN = Standing()


def strikes_at(standing: Standing, now_ms: int) -> float:
    """The strikes that are left; a clock that was set back makes them no more."""
    age_ms = max(0, now_ms - standing.at_ms)
    left = standing.strikes * 0.5 ** (age_ms / HALF_LIFE_MS)
    return left if left >= NEGLIGIBLE else 0.0


def is_barred(standing: Standing, now_ms: int) -> bool:
    """Whether it gets no job now."""
    return now_ms < standing.barred_until_ms


def is_clean(standing: Standing, now_ms: int) -> bool:
    """Whether nothing is left to remember."""
    recent = _recent(standing.withheld_ms, now_ms)
    return not (recent or is_barred(standing, now_ms) or strikes_at(standing, now_ms))


def failed(standing: Standing, now_ms: int) -> Standing:
    """One strike: it was lost, too slow, or broke the protocol."""
    strikes = strikes_at(standing, now_ms) + 1
    return msgspec.structs.replace(standing, strikes=strikes, at_ms=now_ms)


def found_withheld(standing: Standing, now_ms: int, bar_ms: int) -> Standing:
    """A quorum found that it did not open what it had committed to."""
    times = (*_recent(standing.withheld_ms, now_ms), now_ms)[-MOST_WITHHELD:]
    struck = msgspec.structs.replace(failed(standing, now_ms), withheld_ms=times)
    return struck if len(times) < MOST_WITHHELD else found_invalid(struck, now_ms, bar_ms)


def found_invalid(standing: Standing, now_ms: int, bar_ms: int) -> Standing:
    """A quorum found its result wrong."""
    until_ms = max(standing.barred_until_ms, now_ms + bar_ms)
    return msgspec.structs.replace(standing, barred_until_ms=until_ms)


def _recent(times: tuple[int, ...], now_ms: int) -> tuple[int, ...]:
    return tuple(one for one in times if now_ms - one < WITHHELD_WINDOW_MS)
