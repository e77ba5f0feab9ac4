"""Every state last to first, in no more room than there is, with the fewest steps possible."""

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu.proofs.chain241.iterates import Iterates, MemoryTooSmall, advances


class Counter:
    """A chain of numbers that counts its steps."""

    def __init__(self, steps, states):
        self.advanced = []
        self.iterates = Iterates(steps, states, lambda: 1000, self._advance)

    def _advance(self, state, step):
        assert state == 1000 + step
        self.advanced.append(step)
        return state + 1


@cache
def fewest(given_back, places):
    """Of all ways to keep states: go some steps, keep that state, give back what follows it with
    one place less, then the rest with all of them."""
    if given_back == 1:
        return 0
    if places == 1:
        return given_back * (given_back - 1) // 2
    return min(
        first + fewest(given_back - first, places - 1) + fewest(first, places)
        for first in range(1, given_back)
    )


@given(steps=st.integers(1, 60), states=st.integers(3, 70))
def test_every_state_is_given_once_in_reverse_with_the_fewest_steps(steps, states):
    counter = Counter(steps, states)
    iterates = counter.iterates
    assert iterates.run() == 1000 + steps
    held = [len(iterates._kept)]
    for step in reversed(range(steps)):
        assert iterates(step) == 1000 + step
        held.append(len(iterates._kept))
    assert max(held) + 2 <= states
    assert held[-1] == 0
    assert len(counter.advanced) == advances(steps, states) == fewest(steps + 1, states - 2)


def test_nothing_is_computed_twice_when_all_fit():
    counter = Counter(10, 12)
    counter.iterates.run()
    assert [counter.iterates(step) for step in reversed(range(10))] == list(range(1009, 999, -1))
    assert counter.advanced == list(range(10))
    assert advances(10, 11) > 10


@pytest.mark.parametrize(
    ("steps", "states", "most"), [(100, 64, 1.4), (1000, 16, 3.2), (16_384, 1024, 1.94)]
)
def test_little_memory_costs_few_steps(steps, states, most):
    assert steps <= advances(steps, states) <= most * steps


@pytest.mark.parametrize("states", [0, 2, -1])
def test_too_little_memory(states):
    with pytest.raises(MemoryTooSmall, match=f"room for {states} states, 3 are needed"):
        Iterates(5, states, int, max)
    with pytest.raises(MemoryTooSmall):
        advances(5, states)
