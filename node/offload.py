"""Blocking work off the trio loop: one place, one limiter each, replaceable in simulations."""

from collections.abc import Callable
from typing import Protocol, TypeVar

import trio

T = TypeVar("T")


class Offload(Protocol):
    """Runs a blocking function and returns its result."""

    async def __call__(self, function: Callable[[], T]) -> T:
        """Return `function()`, raising what it raises."""
        ...


class Threads:
    """Runs functions in threads, at most `limit` at a time."""

    def __init__(self, limit: int) -> None:
        self._limiter = trio.CapacityLimiter(limit)

    async def __call__(self, function: Callable[[], T]) -> T:
        """Return `function()` from a thread; cancelling waits for it to end."""
        return await trio.to_thread.run_sync(function, limiter=self._limiter)


class Inline:
    """Runs functions at once: for small work under a virtual clock, which jumps over threads."""

    async def __call__(self, function: Callable[[], T]) -> T:
        """Return `function()`."""
        await trio.lowlevel.checkpoint()
        return function()
