import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.roles.pace import MARGIN, Pace

TERA = 10**12
SLOW_S = 100.0 * MARGIN
"""Seconds counted for 10^12 units before anything was measured."""


@pytest.mark.parametrize(
    ("slots", "in_hand", "units", "left_s", "late"),
    [
        (1, [], TERA, 1.0, False),  # too slow, perhaps: still nobody else is in the way
        (1, [TERA], TERA, 2 * SLOW_S + 1, False),
        (1, [TERA], TERA, 2 * SLOW_S - 1, True),
        (2, [TERA], TERA, 1.0, False),
        (2, [TERA, TERA], TERA, 2 * SLOW_S - 1, True),
        (2, [TERA, TERA], TERA, 2 * SLOW_S + 1, False),
        (1, [1000] * 8, 1000, 1.0, False),
    ],
)
def test_cases(slots: int, in_hand: list[int], units: int, left_s: float, late: bool) -> None:
    pace = Pace(slots)
    for number, one in enumerate(in_hand):
        pace.enter(str(number), one)
    assert pace.is_late(units, left_s) == late


def test_what_is_done_is_not_waited_for() -> None:
    pace = Pace(1)
    pace.enter("a", TERA)
    assert pace.is_late(TERA, SLOW_S + 20)
    pace.advance("a", TERA, 0.9)
    assert not pace.is_late(TERA, SLOW_S + 20)
    pace.leave("a")
    pace.advance("a", TERA, 0.5)
    assert pace.in_hand == 0


def test_a_fast_worker_takes_more() -> None:
    pace = Pace(1)
    pace.enter("a", TERA)
    for _ in range(30):
        pace.measured(TERA, 1.0)
    assert not pace.is_late(TERA, 2.0 * MARGIN + 0.5)
    assert pace.is_late(TERA, 2.0)


def test_short_runs_are_not_measured() -> None:
    pace = Pace(1)
    pace.enter("a", TERA)
    for _ in range(100):
        pace.measured(10, 0.09)
    assert not pace.is_late(TERA, 2 * SLOW_S + 1)


@given(st.lists(st.tuples(st.integers(1, 10**15), st.floats(0, 10**6)), max_size=20))
def test_the_estimate_stays_between_what_was_measured(runs) -> None:
    pace = Pace(1)
    for units, seconds in runs:
        pace.measured(units, seconds)
    rates = [seconds / units for units, seconds in runs if seconds >= 0.1] + [
        SLOW_S / MARGIN / TERA
    ]
    assert min(rates) * 0.999 <= pace._s_per_unit <= max(rates) * 1.001
