"""The form of what is measured, and what the cases share."""

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Run = Callable[[], object]


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
