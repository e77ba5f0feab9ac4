"""One HTTP/1.1 connection: Hypercorn's protocol machine on a trio stream, every wait bounded.

Hypercorn's own trio server is not used, for three things a stranger could do to it (0.18, each
tried): two frames of HTTP/2 raise KeyError out of the server and end the node; a client that does
not read its answer holds a shielded send for ever, so that the node cannot stop; and a client
that goes on sending a body nobody reads blocks the end of the request. Here HTTP/2 is not spoken,
nothing is shielded, an app that has answered takes no more body, and whatever goes wrong ends one
connection.
"""

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from typing import Any

import trio
from hypercorn.config import Config
from hypercorn.events import Closed, RawData, Updated
from hypercorn.protocol.events import Response, StreamClosed
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from hypercorn.utils import parse_socket_addr

READ_BYTES = 1 << 16
LINGER_BYTES = 1 << 20
_QUEUE = 4  # messages of at most READ_BYTES between a connection and its app
_log = logging.getLogger(__name__)

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Any, Receive, Send], Awaitable[None]]


@dataclass(frozen=True)
class Patience:
    """How long a connection waits for its client, in seconds."""

    header_s: float = 10.0
    """From connecting, or from the last answer, to the end of the next request's headers."""
    send_s: float = 30.0
    """For the client to take one piece of an answer."""
    linger_s: float = 1.0
    """For the client to read the last answer and hang up, before the connection is reset."""


class _Http1(H11Protocol):  # type: ignore[misc]
    """HTTP/1.1 alone: an offer to upgrade to HTTP/2 is ignored, as the standard allows."""

    answering = False
    heading = False
    """What is being sent are an answer's headers, so more follows at once."""

    async def stream_send(self, event: Any) -> None:
        self.heading = isinstance(event, Response)
        if self.heading:
            self.answering = True
        elif isinstance(event, StreamClosed):
            self.answering = False
        await super().stream_send(event)
        self.heading = False

    async def _check_protocol(self, event: Any) -> None:
        pass


class Connection:
    """Reads requests from a stream, runs the app on each, writes the answers."""

    def __init__(
        self,
        app: App,
        stream: trio.SocketStream,
        config: Config,
        context: WorkerContext,
        state: dict[str, Any],
        patience: Patience,
    ) -> None:
        self._app = app
        self._stream = stream
        self._config = config
        self._context = context
        self._state = state
        self._patience = patience
        self._waiting = trio.CancelScope()
        self._busy = False
        self._held = b""
        self._deaf = False
        self._ended = False
        self._sending = trio.Lock()
        self._protocol: Any = None

    async def run(self) -> None:
        """Serve until either side has had enough; the stream is closed afterwards."""
        try:
            async with trio.open_nursery() as nursery:
                self._protocol = self._new_protocol(nursery)
                self._set_busy(False)
                with self._waiting:
                    await self._read()
                await self._protocol.handle(Closed())
        except* OSError:
            pass  # the client was gone before it was looked at
        except* Exception as group:
            # The outermost guard against bytes of strangers: they end their connection, no more.
            _log.warning("a connection failed", exc_info=group)
        finally:
            await trio.aclose_forcefully(self._stream)

    def end_if_idle(self) -> None:
        """Close the connection now unless a request is running."""
        if not self._busy:
            self._waiting.cancel()

    def _new_protocol(self, nursery: trio.Nursery) -> _Http1:
        socket = self._stream.socket
        return _Http1(
            self._app,
            self._config,
            self._context,
            _Tasks(nursery),
            ConnectionState(self._state),
            False,
            parse_socket_addr(socket.family, socket.getpeername()),
            parse_socket_addr(socket.family, socket.getsockname()),
            self._handle,
        )

    async def _read(self) -> None:
        unwanted = 0
        while (data := await self._receive()) and unwanted < LINGER_BYTES:
            if self._ended or self._deaf:
                unwanted += len(data)
            else:
                await self._protocol.handle(RawData(data))

    async def _receive(self) -> bytes:
        try:
            return bytes(await self._stream.receive_some(READ_BYTES))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return b""

    async def _handle(self, event: Any) -> None:
        """What the protocol machine wants done."""
        if isinstance(event, RawData):
            data, self._held = self._held + event.data, b""
            if self._protocol.heading:
                self._held = data
            elif data:
                await self._send(data)
        elif isinstance(event, Closed) and self._protocol.answering:
            self._deaf = True  # its client broke the protocol, but may have the answer
        elif isinstance(event, Closed):
            await self._end()
        elif isinstance(event, Updated):
            self._set_busy(not event.idle)

    def _set_busy(self, busy: bool) -> None:
        self._busy = busy
        if not self._ended:
            self._waiting.deadline = inf if busy else trio.current_time() + self._patience.header_s

    async def _send(self, data: bytes) -> None:
        async with self._sending:
            if self._ended:
                return
            try:
                with trio.fail_after(self._patience.send_s):
                    await self._stream.send_all(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
                self._ended = True
                self._waiting.cancel()

    async def _end(self) -> None:
        """Say that nothing more comes, and read on for a moment.

        Closing with unread bytes resets the connection, and the client might lose its answer.
        """
        if self._ended:
            return
        self._ended = True
        self._busy = False
        self._waiting.deadline = trio.current_time() + self._patience.linger_s
        try:
            await self._stream.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
            self._waiting.cancel()


class _Tasks:
    """Where a protocol machine starts the app on a request."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery

    def spawn(self, function: Callable[..., Awaitable[None]], *args: Any) -> None:
        """Start a background task of the protocol (WebSocket pings)."""
        self._nursery.start_soon(function, *args)

    async def spawn_app(self, app: App, _: Config, scope: Any, send: Send) -> Send:
        """Start the app; returns the function that hands it what the client sends."""
        exchange = _Exchange(app, scope, send)
        self._nursery.start_soon(exchange.run)
        return exchange.put


class _Exchange:
    """One run of the app. Giving it something never blocks once it has ended or been told so."""

    def __init__(self, app: App, scope: Any, send: Send) -> None:
        self._app = app
        self._scope = scope
        self._send = send
        self._inbox, self._outbox = trio.open_memory_channel[Any](_QUEUE)
        self._gone: Any = None

    async def run(self) -> None:
        try:
            await self._app(self._scope, self._receive, self._send)
        except Exception:
            # The outermost guard against requests of strangers; the client gets a bare 500.
            _log.exception("a request failed")
        finally:
            self._inbox.close()
            self._outbox.close()
        await self._send(None)

    async def put(self, message: Any) -> None:
        if message["type"].endswith(".disconnect"):
            self._gone = message
            self._inbox.close()
            return
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await self._inbox.send(message)

    async def _receive(self) -> Any:
        try:
            return await self._outbox.receive()
        except trio.EndOfChannel:
            return self._gone
