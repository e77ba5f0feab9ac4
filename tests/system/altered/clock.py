"""A clock that is wrong: `clock` is how many seconds the time of day is ahead."""

import time

from switches import Switches


def shift_clock(switches: Switches) -> None:
    """Let the process see the shifted time of day; what measures durations stays right."""
    right_s, right_ns = time.time, time.time_ns

    def ahead_s() -> int:
        return int(switches.value("clock") or 0)

    time.time = lambda: right_s() + ahead_s()
    time.time_ns = lambda: right_ns() + ahead_s() * 1_000_000_000
