"""TCP: listening, dialling, and the stream under a connection.

We listen on our own account. libp2p's listener sets SO_REUSEPORT, with which two nodes of one
user share a port without either noticing, and serves from a trio system task, where an error
ends the process.
"""

import errno
import ipaddress
from collections.abc import Sequence
from typing import NoReturn

import trio
from libp2p.abc import IRawConnection, ITransport
from libp2p.io.abc import ReadWriteCloser
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.transport.exceptions import OpenConnectionError
from libp2p.utils.address_validation import get_available_interfaces
from multiaddr import Multiaddr

from p2p.errors import AddressInUse, CannotListen
from p2p.libp2p.addresses import Endpoint, parse

READ_BYTES = 64 * 1024
HANDSHAKE_BYTES = 64 * 1024
"""What a peer may send before it has proved who it is; a handshake takes about 1 KiB."""


async def bind(addresses: Sequence[str]) -> list[trio.SocketListener]:
    """Listening sockets for the multiaddrs. Raises BadAddress, AddressInUse, CannotListen."""
    listeners: list[trio.SocketListener] = []
    try:
        for address in addresses:
            listeners += await _bind(address)
    except BaseException:
        for listener in listeners:
            listener.socket.close()
        raise
    return listeners


async def _bind(address: str) -> list[trio.SocketListener]:
    endpoint = parse(address)
    try:
        return list(await trio.open_tcp_listeners(endpoint.port, host=endpoint.host))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise AddressInUse(address) from error
        raise CannotListen(address, error.strerror or str(error)) from error


def addresses_of(listeners: Sequence[trio.SocketListener]) -> tuple[str, ...]:
    """The multiaddrs others can dial: real ports, and every interface where all are bound."""
    found: list[str] = []
    for listener in listeners:
        host, port, *_ = listener.socket.getsockname()
        ip = ipaddress.ip_address(host)
        if ip.is_unspecified:
            found += [
                str(interface)
                for interface in get_available_interfaces(port)
                if f"/ip{ip.version}/" in str(interface)
            ]
        else:
            found.append(str(Endpoint(f"ip{ip.version}", host, port, None)))
    return tuple(dict.fromkeys(found))


class TcpStream(ReadWriteCloser):  # type: ignore[misc]
    """A TCP connection that is read in large pieces, and not endlessly before the handshake."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._buffer = b""
        self._allowance: int | None = HANDSHAKE_BYTES

    def established(self) -> None:
        """The peer has proved who it is: it may send as much as it likes from now on."""
        self._allowance = None

    async def receive(self) -> bytes:
        """Whatever is there, b"" at the end. Raises ConnectionClosedError if it broke."""
        if self._buffer:
            data, self._buffer = self._buffer, b""
            return data
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

    async def read(self, n: int | None = None) -> bytes:
        """At most `n` bytes, as libp2p's handshakes want them."""
        data = await self.receive()
        if n is not None and len(data) > n:
            data, self._buffer = data[:n], data[n:]
        return data

    async def write(self, data: bytes) -> None:
        """Send all of it. Raises ConnectionClosedError."""
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ConnectionClosedError(str(error), transport="tcp") from error

    async def close(self) -> None:
        """Close at once, without waiting for anybody."""
        await trio.aclose_forcefully(self._stream)

    def get_remote_address(self) -> tuple[str, int] | None:
        """IP and port of the other end, while there is one."""
        try:
            host, port, *_ = self._stream.socket.getpeername()
        except OSError:
            return None
        return host, port


class Tcp(ITransport):  # type: ignore[misc]
    """Dials for libp2p. It never listens for it: see `bind`."""

    async def dial(self, maddr: Multiaddr) -> IRawConnection:
        """A connection to the address. Raises OpenConnectionError."""
        endpoint = parse(str(maddr))
        try:
            stream = await trio.open_tcp_stream(endpoint.host, endpoint.port)
        except OSError as error:
            raise OpenConnectionError(f"{maddr}: {error}") from error
        return RawConnection(TcpStream(stream), True)

    def can_dial(self, maddr: Multiaddr) -> bool:
        """Whether the address is one of plain TCP."""
        return str(maddr).split("/")[3:4] == ["tcp"]

    def can_listen(self, _maddr: Multiaddr) -> bool:
        """No."""
        return False

    def protocols(self) -> list[str]:
        """The multiaddr protocols dialled."""
        return ["tcp"]

    def create_listener(self, handler_function: object) -> NoReturn:
        """Nothing listens through libp2p."""
        raise NotImplementedError
