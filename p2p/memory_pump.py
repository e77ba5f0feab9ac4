"""What is to happen at a member of a `MemoryHub`, when it is due."""

import heapq
import itertools
from collections.abc import Callable
from typing import Any

import trio


class Pump:
    """Calls what was posted when it is due, in the order of posting, from a task of its own.

    So nothing is ever handed over inside the call that sent it.
    """

    def __init__(self) -> None:
        self._inbox: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = itertools.count()
        self._posted = trio.Event()

    def post(self, due_s: float, deliver: Callable[..., None], *args: Any) -> None:
        """Have `deliver(*args)` called when trio's clock shows `due_s`."""
        heapq.heappush(self._inbox, (due_s, next(self._order), deliver, args))
        self._posted.set()

    async def run(self) -> None:
        """Hand over what is due, for as long as the network is open."""
        while True:
            self._posted = trio.Event()
            while self._inbox and self._inbox[0][0] <= trio.current_time():
                _, _, deliver, args = heapq.heappop(self._inbox)
                deliver(*args)
            next_s = self._inbox[0][0] if self._inbox else float("inf")
            with trio.move_on_at(next_s):
                await self._posted.wait()
