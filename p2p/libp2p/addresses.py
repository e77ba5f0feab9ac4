"""Multiaddrs as text: `/ip4/127.0.0.1/tcp/4001/p2p/12D3…`."""

from typing import NamedTuple

from p2p.errors import BadAddress, BadPeerId
from p2p.identity import public_key_of

_HOSTS = ("ip4", "ip6", "dns", "dns4", "dns6")


class Endpoint(NamedTuple):
    """Where a multiaddr points, and whom it promises there."""

    kind: str
    host: str
    port: int
    peer_id: str | None

    def __str__(self) -> str:
        end = f"/p2p/{self.peer_id}" if self.peer_id else ""
        return f"/{self.kind}/{self.host}/tcp/{self.port}{end}"


def parse(address: str) -> Endpoint:
    """The endpoint of `/(ip4|ip6|dns|dns4|dns6)/HOST/tcp/PORT[/p2p/ID]`. Raises BadAddress."""
    match address.split("/"):
        case ["", kind, host, "tcp", port] if kind in _HOSTS and host:
            return Endpoint(kind, host, _port(address, port), None)
        case ["", kind, host, "tcp", port, "p2p", peer_id] if kind in _HOSTS and host:
            return Endpoint(kind, host, _port(address, port), _peer_id(address, peer_id))
    raise BadAddress(address, "not /ip4|ip6|dns…/HOST/tcp/PORT, with or without /p2p/ID")


def parse_peer(address: str) -> tuple[str, Endpoint]:
    """The peer id and endpoint of an address to dial. Raises BadAddress, also without an id."""
    endpoint = parse(address)
    if endpoint.peer_id is None:
        raise BadAddress(address, "it must end in /p2p/ and the peer's id")
    return endpoint.peer_id, endpoint


def _port(address: str, port: str) -> int:
    if not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise BadAddress(address, "no such port")
    return int(port)


def _peer_id(address: str, peer_id: str) -> str:
    try:
        public_key_of(peer_id)
    except BadPeerId as error:
        raise BadAddress(address, "not the peer id of an Ed25519 key") from error
    return peer_id
