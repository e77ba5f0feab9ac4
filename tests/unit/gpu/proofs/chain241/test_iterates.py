import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu.proofs.chain241.iterates import Iterates, MemoryTooSmall, spacing


class Counter:
    """A chain of numbers that counts its steps and the states alive."""

    def __init__(self, steps, states):
        self.advanced = []
        self.iterates = Iterates(steps, states, lambda: 1000, self._advance)

    def _advance(self, state, step):
        assert state == 1000 + step
        self.advanced.append(step)
        return state + 1


@given(steps=st.integers(1, 200), states=st.integers(0, 220))
def test_every_state_is_given_once_in_reverse(steps, states):
    least = min(-(-steps // c) + c + 1 for c in range(1, steps + 1))
    if states < least:
        with pytest.raises(MemoryTooSmall, match=f"{least} are needed"):
            spacing(steps, states)
        return
    counter = Counter(steps, states)
    iterates = counter.iterates
    assert iterates.run() == 1000 + steps
    held = []
    for step in reversed(range(steps)):
        assert iterates(step) == 1000 + step
        held.append(len(iterates._kept) + len(iterates._between))
    assert max(held) + 2 <= states
    assert counter.advanced.count(0) <= 2
    assert len(counter.advanced) < 2 * steps


def test_nothing_is_computed_twice_when_all_fit():
    counter = Counter(10, 12)
    counter.iterates.run()
    assert [counter.iterates(step) for step in reversed(range(10))] == list(range(1009, 999, -1))
    assert counter.advanced == list(range(10))


@pytest.mark.parametrize(("steps", "states", "expected"), [(1, 3, 1), (100, 102, 1), (100, 101, 2)])
def test_spacing_is_the_smallest_that_fits(steps, states, expected):
    assert spacing(steps, states) == expected


def test_least_memory_is_about_twice_the_root():
    with pytest.raises(MemoryTooSmall, match="room for 10 states, 21 are needed"):
        spacing(100, 10)
    assert spacing(100, 21) == 10
