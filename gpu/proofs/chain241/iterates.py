"""The iterates of a chain for its prover, who needs them last to first, within a memory bound.

As many states are kept as there is room for, the others are computed again from the last one kept
before them. Which to keep so that the fewest steps are taken is known: with s places and no step
taken more than r times, C(s + r, s) states can be given in reverse (Griewank and Walther,
Algorithm 799, 2000). With room for all states none is computed twice.
"""

from collections.abc import Callable
from math import comb
from typing import Final, Generic, TypeVar

from gpu.errors import GpuError

State = TypeVar("State")

_MOVING: Final = 2  # states that a step reads and writes, besides those kept
LEAST_STATES: Final = _MOVING + 1


class MemoryTooSmall(GpuError):
    """Not even one state could be kept."""

    def __init__(self, states: int) -> None:
        super().__init__(f"room for {states} states, {LEAST_STATES} are needed")
        self.states = states


class Iterates(Generic[State]):
    """States 0 .. steps of a chain, read from the last to the first.

    `advance(state, t)` gives state t + 1 and must leave `state` as it is. At most `states` are held
    at a time, the one given last included. Raises MemoryTooSmall.
    """

    def __init__(
        self,
        steps: int,
        states: int,
        start: Callable[[], State],
        advance: Callable[[State, int], State],
    ) -> None:
        self._steps = steps
        self._places = _places(states)
        self._start = start
        self._advance = advance
        self._kept: list[tuple[int, State]] = []

    def run(self) -> State:
        """The last state; called once, before any other is asked for."""
        self._kept.append((0, self._start()))
        return self(self._steps)

    def __call__(self, step: int) -> State:
        """State `step`, of which nothing later will be asked again."""
        while True:
            index, state = self._kept[-1]
            if index == step:
                del self._kept[-1]
                return state
            free = self._places - len(self._kept)
            target = index + _stride(step - index + 1, free + 1)
            for number in range(index, target):
                state = self._advance(state, number)
            if target == step:
                return state
            self._kept.append((target, state))


def advances(steps: int, states: int) -> int:
    """How often `Iterates` advances a state, the first way to the end included.

    Raises MemoryTooSmall.
    """
    given, places = steps + 1, _places(states)
    times = _times(given, places)
    return times * given - comb(places + times, places + 1)


def _stride(given: int, places: int) -> int:
    """How far to go before the next state is kept, with `given` states to give in reverse and
    `places` for those kept, the first of which holds the state that is gone on from."""
    times = _times(given, places)
    return min(comb(places + times - 1, places), given - comb(places + times - 2, places - 1))


def _times(given: int, places: int) -> int:
    """The smallest r with C(places + r, places) >= given."""
    times = 0
    while comb(places + times, places) < given:
        times += 1
    return times


def _places(states: int) -> int:
    if states < LEAST_STATES:
        raise MemoryTooSmall(states)
    return states - _MOVING
