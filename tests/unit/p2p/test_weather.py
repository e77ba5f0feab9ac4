import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p.weather import Way, Weather


def way(**weather) -> Way:
    return Way(Weather(**weather), random.Random(1))


def test_fine_weather_takes_no_time():
    assert way().gossip_due_s(5) == [5]
    assert way().stream_due_s(5) == 5


def test_delays_stay_in_their_range_and_keep_the_order():
    fine = way(delay_s=(0.1, 0.9))
    for arrive in (lambda now_s: fine.gossip_due_s(now_s)[0], fine.stream_due_s):
        due = [arrive(number / 100) for number in range(1000)]
        assert due == sorted(due)
        assert all(0.1 <= at_s - number / 100 <= 0.9 for number, at_s in enumerate(due))


def test_gossip_is_lost_and_doubled_as_often_as_said():
    bad = way(loss=0.25, duplication=0.5)
    copies = [len(bad.gossip_due_s(0)) for _ in range(4000)]
    assert copies.count(0) == pytest.approx(1000, rel=0.1)
    assert copies.count(2) == pytest.approx(1500, rel=0.1)


def test_gossip_that_is_held_back_is_overtaken():
    bad = way(reordering=0.3, held_back_s=1)
    due = [bad.gossip_due_s(number / 10)[0] for number in range(100)]
    assert due != sorted(due)


@given(st.floats(0, 1), st.integers(0, 99))
def test_streams_lose_nothing_and_keep_their_order_whatever_is_lost(loss, seed):
    bad = Way(Weather(loss=loss, delay_s=(0, 1), reordering=1, duplication=1), random.Random(seed))
    due = [bad.stream_due_s(number / 10) for number in range(50)]
    assert due == sorted(due)
    assert max(due) <= 5 + 1 + 0.25 * 63


def test_a_lost_segment_holds_up_what_is_behind_it():
    bad = way(loss=0.5)
    held_up = [bad.hold_up_s() for _ in range(1000)]
    assert held_up.count(0) == pytest.approx(500, rel=0.1)
    assert held_up.count(0.25) == pytest.approx(250, rel=0.2)
    assert set(held_up) <= {0, 0.25, 0.75, 1.75, 3.75, 7.75, 15.75}


def test_the_same_seed_is_the_same_weather():
    def all_dues(seed: int) -> list[list[float]]:
        bad = Way(Weather(delay_s=(0, 1), loss=0.3, duplication=0.3), random.Random(seed))
        return [bad.gossip_due_s(0) for _ in range(100)]

    assert all_dues(1) == all_dues(1) != all_dues(2)
