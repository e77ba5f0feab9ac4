"""The form of what is measured, and what the cases share."""

import importlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Run = Callable[[], object]
Clock = Callable[[], float]

# torch._int_mm is plain loops on a CPU without VNNI: one run of such a peer is enough.
SLOW_S = 2.0


class Case(NamedTuple):
    """Two runs of the same work, and how much of `unit` times seconds it is.

    `target`: what the peer's time divided by ours should be at least. `wall`: time on the clock
    counts, not this thread's time on a core.
    """

    metric: str
    unit: str
    amount: float
    ours: Run
    peer: str = ""
    theirs: Run | None = None
    target: float | None = None
    wall: bool = False


class Measured(NamedTuple):
    """The best seconds of both sides."""

    ours: float
    theirs: float | None


def measured(case: Case, runs: int) -> Measured:
    """Both sides in turn, after one run of each that counts for a slow peer only."""
    clock = time.perf_counter if case.wall else time.thread_time
    sides = [run for run in (case.ours, case.theirs) if run is not None]
    first = [_seconds(run, clock) for run in sides]
    times: list[list[float]] = [[] for _ in sides]
    for _ in range(runs):
        for run, seconds, warming in zip(sides, times, first, strict=True):
            if warming < SLOW_S or run is case.ours:
                seconds.append(_seconds(run, clock))
    best = [min(seconds or [warming]) for seconds, warming in zip(times, first, strict=True)]
    return Measured(best[0], best[1] if len(best) > 1 else None)


def _seconds(run: Run, clock: Clock) -> float:
    began = clock()
    run()
    return clock() - began


def normal(*shape: int) -> npt.NDArray[np.float32]:
    """The same numbers for the same number of axes."""
    return np.random.default_rng(len(shape)).standard_normal(shape, np.float32)


def torch() -> Any:
    """torch with one thread and without gradients, or None where it is not installed."""
    try:
        found = importlib.import_module("torch")
    except ImportError:
        return None
    found.set_num_threads(1)
    found.set_grad_enabled(False)
    return found
