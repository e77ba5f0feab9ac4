"""What a launching function may use: kernels to start, and memory for the time of one operation."""

import ctypes
from typing import Protocol

from gpu.cuda.driver import Grid

THREADS = 256  # of a block, where a kernel does not say otherwise


class Flag(Protocol):
    """A word of the device's memory that a kernel may set."""

    address: int

    def is_set(self) -> bool:
        """Waits for what was started, and says whether any of it set the word."""


class Stage(Protocol):
    """One operation on a device."""

    def start(
        self, source: str, kernel: str, blocks: int | Grid, threads: int, call: ctypes.Structure
    ) -> None:
        """Start a kernel of a source of csrc/cuda. Raises KernelFailed for too many blocks."""

    def scratch(self, size: int) -> int:
        """The address of memory that lasts until the operation ends."""

    def flag(self) -> Flag:
        """A word that is 0."""


def divided_up(count: int, unit: int) -> int:
    """How many units hold a count."""
    return -(-count // unit)


def rounded_up(count: int, unit: int) -> int:
    """A count made a multiple of a unit."""
    return divided_up(count, unit) * unit
