"""A wire between nodes that can be cut: a TCP proxy."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial

import trio

CHUNK_BYTES = 1 << 16


class Wire:
    """Passes connections on to a port, until it is cut.

    `cut` ends connections and refuses new ones; `quietly` it lets them stand, and only holds what
    is sent, as a broken route does.
    """

    def __init__(self, port: int, target: int) -> None:
        self.port = port
        self._target = target
        self._open = trio.Event()
        self._open.set()
        self._refusing = False
        self._connections: set[trio.CancelScope] = set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Accept until cancelled."""
        serve = partial(trio.serve_tcp, self._carry, self.port, host="127.0.0.1")
        async with trio.open_nursery() as nursery:
            await nursery.start(serve)
            task_status.started()

    async def cut(self, quietly: bool) -> None:
        """Let nothing through any more."""
        self._open = trio.Event()
        self._refusing = not quietly
        if not quietly:
            for scope in self._connections:
                scope.cancel()

    async def heal(self) -> None:
        """Let everything through again, also what waited on connections that stood."""
        self._refusing = False
        self._open.set()

    async def _carry(self, near: trio.SocketStream) -> None:
        with trio.CancelScope() as scope, suppress(OSError):
            self._connections.add(scope)
            try:
                if not self._refusing:
                    await self._pass_on(near, scope.cancel)
            finally:
                self._connections.discard(scope)

    async def _pass_on(self, near: trio.SocketStream, end: Callable[[], None]) -> None:
        await self._open.wait()
        far = await trio.open_tcp_stream("127.0.0.1", self._target)
        async with near, far, trio.open_nursery() as nursery:
            nursery.start_soon(self._pump, near, far, end)
            nursery.start_soon(self._pump, far, near, end)

    async def _pump(
        self, source: trio.SocketStream, sink: trio.SocketStream, end: Callable[[], None]
    ) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async for chunk in source:
                await self._open.wait()
                await sink.send_all(chunk)
        end()
