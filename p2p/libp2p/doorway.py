"""How many may come in from where.

IPv6 gives everybody 2^64 addresses, so that a /64 counts as one. A prefix (/24 of IPv4, /48 of
IPv6) is what one customer of a hosting company can easily have many addresses of.
"""

import ipaddress
from collections.abc import Callable
from typing import NamedTuple

import trio

from p2p.limits import Limits
from p2p.rates import RateTable, Turnstile

_EVERYBODY = "everybody"
_ADDRESSES_TRACKED = 8192


def address_of(host: str) -> str:
    """What counts as one address."""
    return _network(host, 32, 64)


def prefix_of(host: str) -> str:
    """What counts as one neighbourhood."""
    return _network(host, 24, 48)


def _network(host: str, bits4: int, bits6: int) -> str:
    ip = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        ip = ip.ipv4_mapped or ip
    bits = bits4 if ip.version == 4 else bits6
    return str(ipaddress.ip_network((ip, bits), strict=False))


class Width(NamedTuple):
    """How many are let in at a time."""

    per_address: int
    per_prefix: int
    total: int


class Doorway:
    """Counts who is inside, by address and by prefix; one more than there may be is turned away."""

    def __init__(self, width: Width) -> None:
        self._turnstiles = (
            (address_of, Turnstile(width.per_address)),
            (prefix_of, Turnstile(width.per_prefix)),
            (_anywhere, Turnstile(width.total)),
        )

    def enter(self, host: str) -> bool:
        """Whether one more from this host is let in. If so, `leave` must follow."""
        entered: list[tuple[Callable[[str], str], Turnstile]] = []
        for key, turnstile in self._turnstiles:
            if not turnstile.enter(key(host)):
                for passed_key, passed in entered:
                    passed.leave(passed_key(host))
                return False
            entered.append((key, turnstile))
        return True

    def leave(self, host: str) -> None:
        """One from this host is gone."""
        for key, turnstile in self._turnstiles:
            turnstile.leave(key(host))


class Handshakes(Doorway):
    """The doorway of those that have not proved who they are, which also has a rate."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(Width(limits.handshakes_per_address, limits.handshakes, limits.handshakes))
        self._rates = RateTable(
            limits.handshake_rate_per_s, limits.handshake_burst, _ADDRESSES_TRACKED
        )

    def enter(self, host: str) -> bool:
        """Whether one more from this host may begin now."""
        if not self._rates.take(address_of(host).encode(), trio.current_time()):
            return False
        return super().enter(host)


def _anywhere(_host: str) -> str:
    return _EVERYBODY
