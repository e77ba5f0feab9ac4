import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.verification.standing import (
    CLEAN,
    HALF_LIFE_MS,
    WITHHELD_WINDOW_MS,
    Standing,
    failed,
    found_invalid,
    found_withheld,
    is_barred,
    is_clean,
    strikes_at,
)

NOW = 1_700_000_000_000
HOUR = 3_600_000
MINUTE = 60_000


@pytest.mark.parametrize(
    ("events", "after_ms", "strikes", "barred"),
    [
        ("", 0, 0.0, False),
        ("f", 0, 1.0, False),
        ("f", HALF_LIFE_MS, 0.5, False),
        ("f", 4 * HALF_LIFE_MS, 0.0625, False),
        ("f", 5 * HALF_LIFE_MS, 0.0, False),
        ("f", -HOUR, 1.0, False),
        ("ff", 0, 2.0, False),
        ("ff", 2 * HALF_LIFE_MS, 0.5, False),
        ("w", 0, 1.0, False),
        ("ww", 0, 2.0, False),
        ("www", 0, 3.0, True),
        ("www", HOUR - 1, 3 / 64, True),
        ("www", HOUR, 0.0, False),
        ("i", 0, 0.0, True),
        ("i", HOUR - 1, 0.0, True),
        ("i", HOUR, 0.0, False),
        ("fi", 0, 1.0, True),
    ],
)
def test_cases(events: str, after_ms: int, strikes: float, barred: bool) -> None:
    """f(ailed), w(ithheld) and i(nvalid), all at the same time; then some time goes by."""
    standing = CLEAN
    for event in events:
        standing = told(standing, event, NOW)
    later = NOW + after_ms
    wanted = strikes if strikes >= 0.05 else 0.0
    assert strikes_at(standing, later) == pytest.approx(wanted, abs=1e-3)
    assert is_barred(standing, later) == barred


def told(standing: Standing, event: str, now_ms: int) -> Standing:
    if event == "f":
        return failed(standing, now_ms)
    found = found_withheld if event == "w" else found_invalid
    return found(standing, now_ms, HOUR)


@pytest.mark.parametrize(
    ("at_minutes", "barred"),
    [
        ((0, 1, 2), True),
        ((0, 30, 59), True),
        ((0, 30, 60), False),
        ((0, 61, 122, 183), False),
        ((0, 61, 100, 115), True),
    ],
)
def test_three_withheld_within_an_hour(at_minutes: tuple[int, ...], barred: bool) -> None:
    standing = CLEAN
    for minute in at_minutes:
        standing = found_withheld(standing, NOW + minute * MINUTE, HOUR)
    assert is_barred(standing, NOW + at_minutes[-1] * MINUTE) == barred


def test_a_shorter_bar_does_not_end_a_longer_one() -> None:
    barred = found_invalid(found_invalid(CLEAN, NOW, 2 * HOUR), NOW, HOUR)
    assert is_barred(barred, NOW + HOUR)


@given(st.lists(st.tuples(st.sampled_from("fwi"), st.integers(0, HOUR)), max_size=20))
def test_everything_is_forgiven_in_time(events) -> None:
    standing, now = CLEAN, NOW
    for event, pause in events:
        now += pause
        standing = told(standing, event, now)
        assert strikes_at(standing, now) <= len(events)
        assert not is_clean(standing, now)
        assert len(standing.withheld_ms) <= 3
    assert is_clean(standing, now + WITHHELD_WINDOW_MS + HOUR + 10 * HALF_LIFE_MS)
