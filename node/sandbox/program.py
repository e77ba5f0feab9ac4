"""What a child can be given to run.

A program is a module with `load(...) -> RunJob`. It is loaded once, in the confined child, before
the first job; `node.sandbox.compute` is the one that the node uses.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from gpu.workloads.base import JobContext, Progress, RunReport

RunJob = Callable[[str, JobContext, bytes, Path, Progress], RunReport]


class Loadable(Protocol):
    """A module that is a program."""

    def load(self, **arguments: str) -> RunJob:
        """Warm up and return the function that executes a job; it may raise anything."""
