"""The port of the API: bound first, served until cancelled, stopped gracefully."""

import socket
from dataclasses import dataclass, field
from typing import NamedTuple

import trio
from hypercorn.config import Config
from hypercorn.trio.worker_context import WorkerContext

from node.api.connections import App, Connection, Patience
from node.api.gate import Gate
from node.ports import bind_api


@dataclass(frozen=True)
class ServerLimits:
    """What the server spends on its clients."""

    requests: int = 256
    """Running at once, not counting those that wait for a task; above it the answer is 429."""
    connections: int = 512
    """Open at once; above it a new one is closed at once."""
    requests_per_connection: int = 10_000
    header_bytes: int = 16 * 1024
    grace_s: float = 2.0
    """Seconds that running requests have to end when the server stops."""
    patience: Patience = field(default_factory=Patience)


class Bound(NamedTuple):
    """Where the API is."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """Address to call."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


async def serve_api(
    app: App,
    host: str,
    port: int,
    *,
    listener: socket.socket | None = None,
    limits: ServerLimits | None = None,
    task_status: trio.TaskStatus[Bound] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve an ASGI application until cancelled; `started` gives where.

    A `listener` from `bind_api` is taken over. When cancelled, no new connection is accepted,
    running requests have `grace_s` to end, then everything is closed.

    Raises:
        ConfigError: as `bind_api`.
    """
    taken = bind_api(host, port) if listener is None else listener
    server = _Server(app, limits or ServerLimits())
    async with trio.open_nursery() as nursery:
        connections = await nursery.start(server.hold_connections)
        try:
            with taken:
                accepting = [trio.SocketListener(trio.socket.from_stdlib_socket(taken))]
                task_status.started(Bound(*taken.getsockname()[:2]))
                await trio.serve_listeners(
                    server.serve_connection, accepting, handler_nursery=connections
                )
        finally:
            server.stopping.set()


class _Server:
    """The connections of a port."""

    def __init__(self, app: App, limits: ServerLimits) -> None:
        self.stopping = trio.Event()
        self._app = Gate(app, limits.requests)
        self._limits = limits
        self._context = WorkerContext(None)
        self._open: set[Connection] = set()
        self._all_closed = trio.Event()
        self._config = Config()
        self._config.errorlog = None
        self._config.h11_max_incomplete_size = limits.header_bytes
        self._config.keep_alive_max_requests = limits.requests_per_connection
        self._config.include_server_header = False

    async def hold_connections(self, *, task_status: trio.TaskStatus[trio.Nursery]) -> None:
        """Keep connections alive, also past a cancellation from outside, for the grace period."""
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as connections:
                task_status.started(connections)
                await self.stopping.wait()
                await self._end_connections()
                connections.cancel_scope.cancel()

    async def _end_connections(self) -> None:
        await self._context.terminated.set()  # a connection closes after the request it runs
        for connection in self._open:
            connection.end_if_idle()
        with trio.move_on_after(self._limits.grace_s):
            while self._open:
                await self._all_closed.wait()

    async def serve_connection(self, stream: trio.SocketStream) -> None:
        """Serve one connection, or close it if there are too many."""
        if len(self._open) >= self._limits.connections:
            await trio.aclose_forcefully(stream)
            return
        state = {"stopping": self.stopping}
        connection = Connection(
            self._app, stream, self._config, self._context, state, self._limits.patience
        )
        self._open.add(connection)
        try:
            await connection.run()
        finally:
            self._open.discard(connection)
            if not self._open:
                self._all_closed.set()
                self._all_closed = trio.Event()
