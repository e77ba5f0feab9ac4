"""The iterates of a chain for its prover, who needs them last to first, within a memory bound.

Every c-th state is kept on the way forward; on the way back the states between two kept ones are
computed once more. With c = 1 all are kept and none is computed twice.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

from gpu.errors import GpuError

State = TypeVar("State")

_MOVING = 2  # states that a step reads and writes, besides those kept


class MemoryTooSmall(GpuError):
    """The bound is too low for any spacing of kept states."""

    def __init__(self, states: int, needed: int) -> None:
        super().__init__(f"room for {states} states, {needed} are needed")
        self.states = states
        self.needed = needed


class Iterates(Generic[State]):
    """States 0 .. steps of a chain, read from the last to the first.

    `advance(state, t)` gives state t + 1 and must leave `state` as it is. Raises MemoryTooSmall
    unless `states` of them may be held at a time.
    """

    def __init__(
        self,
        steps: int,
        states: int,
        start: Callable[[], State],
        advance: Callable[[State, int], State],
    ) -> None:
        self.spacing = spacing(steps, states)
        self._steps = steps
        self._start = start
        self._advance = advance
        self._kept: dict[int, State] = {}
        self._between: dict[int, State] = {}

    def run(self) -> State:
        """Go forward; returns the last state."""
        state = self._start()
        for step in range(self._steps):
            if step % self.spacing == 0:
                self._kept[step] = state
            state = self._advance(state, step)
        return state

    def __call__(self, step: int) -> State:
        """State `step`, of which nothing later will be asked again."""
        first = step - step % self.spacing
        if step == first:
            return self._kept.pop(first)
        if step not in self._between:
            self._between = self._computed_again(first, step)
        return self._between.pop(step)

    def _computed_again(self, first: int, last: int) -> dict[int, State]:
        state, states = self._kept[first], {}
        for step in range(first, last):
            state = self._advance(state, step)
            states[step + 1] = state
        return states


def spacing(steps: int, states: int) -> int:
    """The smallest c for which `states` states are enough. Raises MemoryTooSmall."""
    needs = [_states_needed(steps, c) for c in range(1, steps + 1)]
    for c, needed in enumerate(needs, start=1):
        if needed <= states:
            return c
    raise MemoryTooSmall(states, min(needs))


def _states_needed(steps: int, c: int) -> int:
    return -(-steps // c) + (c - 1) + _MOVING
