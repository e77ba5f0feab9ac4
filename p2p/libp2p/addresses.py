"""Multiaddrs as text: `/ip4/127.0.0.1/tcp/4001/p2p/12D3…`, or with `/ws` after the port."""

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
    websocket: bool = False

    def __str__(self) -> str:
        carrier = "/ws" if self.websocket else ""
        end = f"/p2p/{self.peer_id}" if self.peer_id else ""
        return f"/{self.kind}/{self.host}/tcp/{self.port}{carrier}{end}"

    @property
    def authority(self) -> str:
        """`host:port` as HTTP writes it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse(address: str) -> Endpoint:
    """The endpoint of `/(ip4|ip6|dns|dns4|dns6)/HOST/tcp/PORT[/ws][/p2p/ID]`. Raises BadAddress."""
    match address.split("/"):
        case ["", kind, host, "tcp", port, *rest] if kind in _HOSTS and host:
            websocket = rest[:1] == ["ws"]
            match rest[websocket:]:
                case []:
                    return Endpoint(kind, host, _port(address, port), None, websocket)
                case ["p2p", peer_id]:
                    proved = _peer_id(address, peer_id)
                    return Endpoint(kind, host, _port(address, port), proved, websocket)
    raise BadAddress(address, "not /ip4|ip6|dns…/HOST/tcp/PORT, with or without /ws and /p2p/ID")


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
