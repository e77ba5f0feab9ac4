"""Listening sockets.

We listen on our own account. libp2p's listener sets SO_REUSEPORT, with which two nodes of one
user share a port without either noticing, and serves from a trio system task, where an error
ends the process.

Every port takes both plain TCP and WebSocket: `/tcp/P` and `/tcp/P/ws` are the same socket, and
differ in what is announced to others.
"""

import errno
import ipaddress
from collections.abc import Iterator, Sequence

import trio
from libp2p.utils.address_validation import get_available_interfaces

from p2p.errors import AddressInUse, CannotListen
from p2p.libp2p.addresses import Endpoint, parse


class Listening:
    """Sockets that are listened on, and how others may dial them."""

    def __init__(self) -> None:
        self.listeners: list[trio.SocketListener] = []
        self._announced: list[tuple[trio.SocketListener, bool]] = []

    def add(self, listeners: Sequence[trio.SocketListener], *, websocket: bool) -> None:
        """Listen on these and announce them so; they may be here already."""
        self.listeners += [one for one in listeners if one not in self.listeners]
        self._announced += [(one, websocket) for one in listeners]

    @property
    def addresses(self) -> tuple[str, ...]:
        """The multiaddrs others can dial: real ports, and every interface where all are bound."""
        found = [
            str(endpoint)
            for listener, websocket in self._announced
            for endpoint in _reachable(listener, websocket)
        ]
        return tuple(dict.fromkeys(found))

    def close(self) -> None:
        """Listen no more."""
        for listener in self.listeners:
            listener.socket.close()


async def bind(addresses: Sequence[str]) -> Listening:
    """Listening sockets for the multiaddrs. Raises BadAddress, AddressInUse, CannotListen."""
    listening = Listening()
    bound: dict[Endpoint, list[trio.SocketListener]] = {}
    try:
        for address in addresses:
            endpoint = parse(address)
            place = endpoint._replace(websocket=False)
            if place not in bound:
                bound[place] = await _bind(place, address)
            listening.add(bound[place], websocket=endpoint.websocket)
    except BaseException:
        listening.close()
        raise
    return listening


async def _bind(place: Endpoint, address: str) -> list[trio.SocketListener]:
    try:
        return list(await trio.open_tcp_listeners(place.port, host=place.host))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise AddressInUse(address) from error
        raise CannotListen(address, error.strerror or str(error)) from error


def _reachable(listener: trio.SocketListener, websocket: bool) -> Iterator[Endpoint]:
    host, port, *_ = listener.socket.getsockname()
    ip = ipaddress.ip_address(host)
    kind = f"ip{ip.version}"
    if not ip.is_unspecified:
        yield Endpoint(kind, host, port, None, websocket)
        return
    for interface in map(str, get_available_interfaces(port)):
        if interface.startswith(f"/{kind}/"):
            yield parse(interface)._replace(websocket=websocket)
