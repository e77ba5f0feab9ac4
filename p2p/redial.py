"""Keeping wanted peers connected.

A peer is wanted from the first `want` on, for good or until it could not be reached for a time: it
is dialled at once, and again whenever it is not connected, with a pause that doubles from
`redial_min_s` to `redial_max_s` and is then spread by a fifth so that many nodes do not dial in
step.
"""

import math
import random
from collections.abc import Awaitable, Callable, Sequence

import trio

from p2p.errors import BadAddress, P2PError
from p2p.limits import Limits
from p2p.presence import Presence

Dial = Callable[[str, str], Awaitable[None]]
"""`dial(peer_id, address)` connects or raises a P2PError."""

_ADDRESSES_PER_PEER = 8
_SPREAD = 0.2


class _Wanted:
    """A peer's addresses, the latest first, and how long it is wanted without being there."""

    def __init__(self, address: str, for_s: float) -> None:
        self.addresses = [address]
        self.for_s = for_s
        self.tried = trio.Event()

    def add(self, address: str, for_s: float) -> None:
        self.for_s = max(self.for_s, for_s)
        self.addresses = [address, *(known for known in self.addresses if known != address)]
        del self.addresses[_ADDRESSES_PER_PEER:]


class Redialer:
    """Dials wanted peers, each from a task of its own in `nursery`."""

    def __init__(
        self, nursery: trio.Nursery, dial: Dial, presence: Presence, limits: Limits
    ) -> None:
        self._nursery = nursery
        self._dial = dial
        self._presence = presence
        self._limits = limits
        self._wanted: dict[str, _Wanted] = {}

    async def want(self, peer_id: str, address: str, for_s: float = math.inf) -> None:
        """Want the peer at the address; returns after the first attempt to reach it.

        It is given up once it has not been connected for `for_s` seconds, the longest that was
        asked for. Raises BadAddress if `Limits.wanted_peers` are wanted already.
        """
        wanted = self._wanted.get(peer_id)
        if wanted is not None:
            wanted.add(address, for_s)
            await self._attempt(peer_id, [address])
            return
        if len(self._wanted) >= self._limits.wanted_peers:
            raise BadAddress(address, f"{len(self._wanted)} peers are wanted already")
        wanted = self._wanted[peer_id] = _Wanted(address, for_s)
        self._nursery.start_soon(self._keep, peer_id, wanted)
        await wanted.tried.wait()

    def addresses(self, peer_id: str) -> tuple[str, ...]:
        """Where the peer is wanted, the latest first."""
        wanted = self._wanted.get(peer_id)
        return tuple(wanted.addresses) if wanted is not None else ()

    async def _keep(self, peer_id: str, wanted: _Wanted) -> None:
        await self._attempt(peer_id, wanted.addresses)
        wanted.tried.set()
        pause_s = self._limits.redial_min_s
        missing_s = trio.current_time()
        while True:
            if peer_id in self._presence:
                met_s = trio.current_time()
                await self._presence.wait_gone(peer_id)
                missing_s = trio.current_time()
                if missing_s - met_s > self._limits.redial_max_s:
                    pause_s = self._limits.redial_min_s
            if trio.current_time() - missing_s >= wanted.for_s:
                break
            await trio.sleep(pause_s * random.uniform(1 - _SPREAD, 1 + _SPREAD))
            pause_s = min(2 * pause_s, self._limits.redial_max_s)
            await self._attempt(peer_id, wanted.addresses)
        del self._wanted[peer_id]

    async def _attempt(self, peer_id: str, addresses: Sequence[str]) -> None:
        for address in tuple(addresses):
            if peer_id in self._presence:
                return
            try:
                with trio.move_on_after(self._limits.dial_timeout_s):
                    await self._dial(peer_id, address)
            except P2PError:
                continue
