"""How fast a worker is, and whether it can begin a job in time: pure, of sizes and seconds."""

from node.workloads import slow_core_s

LEAST_MEASURED_S = 0.1
"""Shorter runs say more about what surrounds them than about the work."""
WEIGHT = 0.3
"""Of the newest measurement in the mean."""
MARGIN = 1.25
"""By how much the estimate may be wrong before a job that was taken is late."""


class Pace:
    """The work in hand, and seconds for each unit of it."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._s_per_unit = slow_core_s(1)
        self._left: dict[str, float] = {}

    @property
    def in_hand(self) -> int:
        """Jobs running or waiting for a slot."""
        return len(self._left)

    def is_late(self, units: int, left_s: float) -> bool:
        """Whether a job would have to wait so long that it could not be done in `left_s`.

        One that is too slow without waiting is not refused for it: the estimate may be wrong.
        """
        if len(self._left) < self._slots:
            return False
        wait_s = sum(self._left.values()) * self._s_per_unit / self._slots
        return MARGIN * (wait_s + units * self._s_per_unit) > left_s

    def enter(self, job: str, units: int) -> None:
        """A job was taken."""
        self._left[job] = float(units)

    def advance(self, job: str, units: int, done: float) -> None:
        """A part of it is done, 0..1."""
        if job in self._left:
            self._left[job] = units * (1 - done)

    def leave(self, job: str) -> None:
        """It is over, one way or the other."""
        self._left.pop(job, None)

    def measured(self, units: int, seconds: float) -> None:
        """A whole run took so long."""
        if seconds >= LEAST_MEASURED_S and units > 0:
            self._s_per_unit += WEIGHT * (seconds / units - self._s_per_unit)
