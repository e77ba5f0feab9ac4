"""Dialling, for libp2p's swarm."""

from typing import NoReturn

import trio
from libp2p.abc import IRawConnection, ITransport
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.transport.exceptions import OpenConnectionError
from multiaddr import Multiaddr

from p2p.libp2p.addresses import Endpoint, parse
from p2p.libp2p.sockets import Carrier, TcpStream
from p2p.libp2p.websocket import dial_websocket


class Dialler(ITransport):  # type: ignore[misc]
    """Dials TCP and WebSocket addresses. It never listens: see `listening`."""

    async def dial(self, maddr: Multiaddr) -> IRawConnection:
        """A connection to the address. Raises OpenConnectionError."""
        endpoint = parse(str(maddr))
        try:
            return RawConnection(await _dial(endpoint), True)
        except (OSError, ConnectionClosedError) as error:
            raise OpenConnectionError(f"{maddr}: {error}") from error

    def can_dial(self, maddr: Multiaddr) -> bool:
        """Whether the address is one of TCP, with a WebSocket on it or not."""
        return str(maddr).split("/")[3:4] == ["tcp"]

    def can_listen(self, _maddr: Multiaddr) -> bool:
        """No."""
        return False

    def protocols(self) -> list[str]:
        """The multiaddr protocols dialled."""
        return ["tcp", "ws"]

    def create_listener(self, handler_function: object) -> NoReturn:
        """Nothing listens through libp2p."""
        raise NotImplementedError


async def _dial(endpoint: Endpoint) -> Carrier:
    tcp = TcpStream(await trio.open_tcp_stream(endpoint.host, endpoint.port))
    if not endpoint.websocket:
        return tcp
    try:
        return await dial_websocket(tcp, endpoint.authority)
    except BaseException:
        await tcp.close()
        raise
