"""How tests that block wait for processes: a condition with a deadline, and a loop of trio."""

import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import TypeVar

import trio

T = TypeVar("T")

POLL_S = 0.05
DONE_S = 60.0
"""Longest wait for anything that a loaded machine takes seconds for."""


def until(condition: Callable[[], T], what: str, timeout_s: float = DONE_S) -> T:
    """The condition's first true value; the one place where a test waits without an event."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s:g} s: {what}; last seen: {found!r}")
        time.sleep(POLL_S)


class Loop:
    """A trio loop in a thread: pytest-trio's own ends with each test."""

    def __enter__(self) -> "Loop":
        started: Future[trio.Nursery] = Future()
        self._stop = trio.Event()

        async def run() -> None:
            async with trio.open_nursery() as nursery:
                self._token = trio.lowlevel.current_trio_token()
                started.set_result(nursery)
                await self._stop.wait()
                nursery.cancel_scope.cancel()

        self._thread = threading.Thread(target=trio.run, args=(run,))
        self._thread.start()
        self.nursery = started.result()
        """For what runs as long as the loop."""
        return self

    def __call__(self, function: Callable[..., Awaitable[T]], *arguments: object) -> T:
        """Run an async function in the loop."""
        return trio.from_thread.run(function, *arguments, trio_token=self._token)

    def __exit__(self, *_: object) -> None:
        self._token.run_sync_soon(self._stop.set)
        self._thread.join()
