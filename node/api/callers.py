"""Whose money a request may spend.

With an API key: its account's. Without one, and only where the network names a local account:
that account's, if the request cannot have come from a web page or another machine. A page in a
browser can reach loopback, so five things are asked for: a loopback peer, a loopback `Host` with
our port (else a name that resolves to 127.0.0.1 would do), no foreign `Origin`, JSON as content
type (no form can send that, and no CORS header of ours ever allows a script to), and no trace of
a proxy that would make the whole world look local.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import Any

from node.api.body import Headers, header, is_json
from node.api.errors import Unauthenticated
from node.api.service import Service

HTTP_PORT = 80
_PROXIED = (b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip")
_KEY_REMEDY = "send `Authorization: Bearer tm_…` with an API key of the account"

Interruption = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Waiting:
    """How a request may wait for something to happen."""

    interruptions: tuple[Interruption, ...] = ()
    """Each returns when nobody waits for the answer any more."""
    parked: Callable[[], AbstractContextManager[None]] = nullcontext
    """Entered meanwhile, so that a waiting request takes no other's place."""


NO_WAITING = Waiting()


@dataclass(frozen=True)
class Caller:
    """Who asks."""

    account: str | None
    """Address of the account the request may spend from; None for a stranger."""
    key: bytes | None = None
    """Digest of the API key that was shown; None for the local account."""
    why_not: str = "there is no API key"
    """Why there is no account."""
    waiting: Waiting = NO_WAITING

    def owner(self) -> str:
        """The account's address; raises Unauthenticated for a stranger."""
        if self.account is None:
            raise Unauthenticated(self.why_not, field="Authorization", remedy=_KEY_REMEDY)
        return self.account


def identify(service: Service, scope: Mapping[str, Any], waiting: Waiting = NO_WAITING) -> Caller:
    """The caller of an HTTP request; raises Unauthenticated for a key that is not valid."""
    credentials = header(scope["headers"], b"authorization")
    if credentials is not None:
        return _key_holder(service, credentials, waiting)
    if service.local_account is None:
        return Caller(None, waiting=waiting)
    obstacle = local_obstacle(scope)
    if obstacle is not None:
        why_not = f"there is no API key, and the local account is out of reach: {obstacle}"
        return Caller(None, None, why_not, waiting)
    return Caller(service.local_account, waiting=waiting)


def _key_holder(service: Service, credentials: str, waiting: Waiting) -> Caller:
    scheme, _, token = credentials.partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthenticated("is no bearer token", field="Authorization", remedy=_KEY_REMEDY)
    found = None if service.key_ring is None else service.key_ring.find(token.strip())
    if found is None:
        raise Unauthenticated(
            "the API key is not known here",
            field="Authorization",
            remedy="make a new one with POST /account/challenge and POST /account/keys",
        )
    digest, address = found
    return Caller(address, digest, waiting=waiting)


def local_obstacle(scope: Mapping[str, Any]) -> str | None:
    """Why a request cannot be trusted to come from the person at this machine; None if it can."""
    headers: Headers = scope["headers"]
    client, server = scope.get("client"), scope.get("server")
    host = header(headers, b"host") or ""
    origin = header(headers, b"origin")
    if client is None or server is None or not is_loopback(client[0]):
        return "the request comes from another machine"
    if not _is_this_node(host, server[1]):
        return f"the Host header {host[:60]!r} is not this node's address"
    if origin is not None and origin != f"http://{host}":
        return f"the request was made by the web page {origin[:60]!r}"
    if any(name in _PROXIED for name, _ in headers):
        return "the request came through a proxy"
    if scope["method"] not in ("GET", "HEAD") and not is_json(header(headers, b"content-type")):
        return "the content type is not application/json"
    return None


def _is_this_node(host: str, port: int) -> bool:
    name, colon, digits = host.rpartition(":")
    if not colon or digits.endswith("]"):
        name, digits = host, str(HTTP_PORT)
    return digits == str(port) and (name.lower() == "localhost" or is_loopback(name.strip("[]")))


@lru_cache(maxsize=1024)
def is_loopback(address: str) -> bool:
    """Whether the text is an IP address of this machine alone."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback
