"""What carries the bytes of a connection: a TCP stream, or a WebSocket on one (`websocket`)."""

from abc import abstractmethod

import trio
from libp2p.io.abc import ReadWriteCloser
from libp2p.io.exceptions import ConnectionClosedError

READ_BYTES = 64 * 1024
HANDSHAKE_BYTES = 64 * 1024
"""What a peer may send before it has proved who it is; a handshake takes about 1 KiB."""


class Carrier(ReadWriteCloser):  # type: ignore[misc]
    """Bytes in both directions, read in large pieces, and not endlessly before the handshake."""

    def __init__(self) -> None:
        self._buffer = b""

    async def receive(self) -> bytes:
        """Whatever is there, b"" at the end. Raises ConnectionClosedError if it broke."""
        if self._buffer:
            data, self._buffer = self._buffer, b""
            return data
        return await self._receive()

    def unread(self, data: bytes) -> None:
        """Have `data`, which was received last, received again."""
        self._buffer = data + self._buffer

    async def read(self, n: int | None = None) -> bytes:
        """At most `n` bytes, as libp2p's handshakes want them."""
        data = await self.receive()
        if n is not None and len(data) > n:
            self.unread(data[n:])
            data = data[:n]
        return data

    @abstractmethod
    async def _receive(self) -> bytes: ...

    @abstractmethod
    async def write(self, data: bytes) -> None:
        """Send all of it. Raises ConnectionClosedError."""

    @abstractmethod
    async def close(self) -> None:
        """Close at once, without waiting for anybody."""

    @abstractmethod
    def established(self) -> None:
        """The peer has proved who it is: it may send as much as it likes from now on."""

    @abstractmethod
    def get_remote_address(self) -> tuple[str, int] | None:
        """IP and port of the other end, while there is one."""


class TcpStream(Carrier):
    """A TCP connection."""

    def __init__(self, stream: trio.SocketStream) -> None:
        super().__init__()
        self._stream = stream
        self._allowance: int | None = HANDSHAKE_BYTES

    def established(self) -> None:
        self._allowance = None

    async def _receive(self) -> bytes:
        try:
            data = await self._stream.receive_some(READ_BYTES)
        except trio.BrokenResourceError as error:
            raise ConnectionClosedError(str(error), transport="tcp") from error
        except trio.ClosedResourceError:
            return b""
        if self._allowance is not None:
            self._allowance -= len(data)
            if self._allowance < 0:
                raise ConnectionClosedError("the handshake is too long", transport="tcp")
        return bytes(data)

    async def write(self, data: bytes) -> None:
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ConnectionClosedError(str(error), transport="tcp") from error

    async def close(self) -> None:
        await trio.aclose_forcefully(self._stream)

    def get_remote_address(self) -> tuple[str, int] | None:
        try:
            host, port, *_ = self._stream.socket.getpeername()
        except OSError:
            return None
        return host, port
