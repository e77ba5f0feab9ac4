"""WebSocket (RFC 6455) as a carrier, after libp2p's `/ws`: binary messages, read as one stream.

wsproto reads and writes the frames; here is what strangers may make it do. Before the handshake
of the connection inside, everything counts against the allowance of the TCP stream below. No
length that a frame announces is ever allocated: its content is handed on as it comes. Frames are
taken a few at a time and paced, because a frame of one byte costs as much as one of 64 KiB;
frames that carry nothing (pings, pongs, empty ones) are honest only now and then, and more of them
end the connection. Only the latest ping is answered, together with whatever we write next, so
that a peer which does not read cannot hold up our reading.
"""

from itertools import islice

import trio
from libp2p.io.exceptions import ConnectionClosedError
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    Event,
    Ping,
    Pong,
    RejectConnection,
    Request,
)
from wsproto.utilities import RemoteProtocolError

from p2p.libp2p.sockets import Carrier, TcpStream
from p2p.rates import TokenBucket

_GET = b"G"
"""How HTTP begins. A multistream header begins with its length, 0x13."""
_FRAMES_AT_ONCE = 64
_FRAMES_PER_S = 5_000.0
_FRAMES_BURST = 10_000.0
_IDLE_FRAMES_PER_S = 1.0
_IDLE_FRAMES_BURST = 60.0


async def accept_carrier(tcp: TcpStream) -> Carrier:
    """What the peer that connected wants to speak on: the stream itself, or a WebSocket on it.

    Raises ConnectionClosedError.
    """
    first = await tcp.receive()
    tcp.unread(first)
    return await _accept_websocket(tcp) if first.startswith(_GET) else tcp


async def _accept_websocket(tcp: TcpStream) -> "WebSocketStream":
    ws = WSConnection(ConnectionType.SERVER)
    if not isinstance(await _first_event(tcp, ws), Request):
        raise _broken("no request for a WebSocket")
    await tcp.write(ws.send(AcceptConnection()))
    stream = WebSocketStream(tcp, ws)
    # Whoever dials speaks first. What we said before it does can be lost: js-libp2p listens for
    # messages only some time after it has heard that the WebSocket is open.
    stream.unread(await stream.receive())
    return stream


async def dial_websocket(tcp: TcpStream, authority: str) -> "WebSocketStream":
    """A WebSocket to the `host:port` that `tcp` is connected to. Raises ConnectionClosedError."""
    ws = WSConnection(ConnectionType.CLIENT)
    await tcp.write(ws.send(Request(host=authority, target="/")))
    if not isinstance(await _first_event(tcp, ws), AcceptConnection):
        raise _broken("the peer takes no WebSocket")
    return WebSocketStream(tcp, ws)


async def _first_event(tcp: TcpStream, ws: WSConnection) -> Event:
    while True:
        for event in ws.events():
            return event
        data = await tcp.receive()
        if not data:
            raise _broken("closed before it was a WebSocket")
        try:
            ws.receive_data(data)
        except (RemoteProtocolError, UnicodeError) as error:
            await _reject(tcp, ws, error)
            raise _broken(str(error)) from error


async def _reject(tcp: TcpStream, ws: WSConnection, error: Exception) -> None:
    """Tell whoever sent us HTTP that is no request for a WebSocket."""
    hint = getattr(error, "event_hint", None) or RejectConnection()
    if not ws.client:
        await tcp.write(ws.send(hint))


class WebSocketStream(Carrier):
    """An open WebSocket."""

    def __init__(self, tcp: TcpStream, ws: WSConnection) -> None:
        super().__init__()
        self._tcp = tcp
        self._ws = ws
        self._over = False
        self._pong = b""
        self._pace = TokenBucket(_FRAMES_PER_S, _FRAMES_BURST)
        self._idle = TokenBucket(_IDLE_FRAMES_PER_S, _IDLE_FRAMES_BURST)

    def established(self) -> None:
        self._tcp.established()

    async def _receive(self) -> bytes:
        while not self._over:
            frames = list(islice(self._ws.events(), _FRAMES_AT_ONCE))
            data = b"".join(map(self._take, frames))
            await self._wait_for(len(frames))
            if data:
                return data
            if not frames:
                await self._feed()
        return b""

    async def _feed(self) -> None:
        received = await self._tcp.receive()
        if received:
            self._ws.receive_data(received)
        else:
            self._over = True

    async def _wait_for(self, frames: int) -> None:
        """Be no faster than a peer may send frames, and let others have their turn."""
        wait_s = self._pace.reserve(trio.current_time(), frames)
        if wait_s or frames == _FRAMES_AT_ONCE:
            await trio.sleep(wait_s)

    def _take(self, event: Event) -> bytes:
        """The event's data. What comes after the end is nothing."""
        self._over = self._over or not isinstance(event, BytesMessage | Ping | Pong)
        if self._over:
            return b""
        if isinstance(event, BytesMessage) and event.data:
            return bytes(event.data)
        if not self._idle.take(trio.current_time()):
            raise _broken("too many frames that carry nothing")
        if isinstance(event, Ping):
            self._pong = self._ws.send(event.response())
        return b""

    async def write(self, data: bytes) -> None:
        pong, self._pong = self._pong, b""
        await self._tcp.write(pong + self._ws.send(BytesMessage(data=data)))

    async def close(self) -> None:
        await self._tcp.close()

    def get_remote_address(self) -> tuple[str, int] | None:
        return self._tcp.get_remote_address()


def _broken(why: str) -> ConnectionClosedError:
    return ConnectionClosedError(why, transport="websocket")
