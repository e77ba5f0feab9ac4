"""Keeping wanted peers connected.

A peer is wanted from the first `want` on: it is dialled at once, and again whenever it is not
connected, with a pause that doubles from `redial_min_s` to `redial_max_s` and is then spread by
a fifth so that many nodes do not dial in step.
"""

import random
from collections.abc import Awaitable, Callable

import trio

from p2p.errors import BadAddress, P2PError
from p2p.limits import Limits
from p2p.presence import Presence

Dial = Callable[[str, str], Awaitable[None]]
"""`dial(peer_id, address)` connects or raises a P2PError."""

_ADDRESSES_PER_PEER = 8
_SPREAD = 0.2


class Redialer:
    """Dials wanted peers, each from a task of its own in `nursery`."""

    def __init__(
        self, nursery: trio.Nursery, dial: Dial, presence: Presence, limits: Limits
    ) -> None:
        self._nursery = nursery
        self._dial = dial
        self._presence = presence
        self._limits = limits
        self._wanted: dict[str, list[str]] = {}

    async def want(self, peer_id: str, address: str) -> None:
        """Want the peer at the address; returns after the first attempt to reach it.

        Raises BadAddress if `Limits.wanted_peers` are wanted already.
        """
        if peer_id in self._wanted:
            known = self._wanted[peer_id]
            self._wanted[peer_id] = [address, *(a for a in known if a != address)]
            del self._wanted[peer_id][_ADDRESSES_PER_PEER:]
            await self._attempt(peer_id)
            return
        if len(self._wanted) >= self._limits.wanted_peers:
            raise BadAddress(address, f"{len(self._wanted)} peers are wanted already")
        self._wanted[peer_id] = [address]
        tried = trio.Event()
        self._nursery.start_soon(self._keep, peer_id, tried)
        await tried.wait()

    def addresses(self, peer_id: str) -> tuple[str, ...]:
        """Where the peer is wanted, the latest first."""
        return tuple(self._wanted.get(peer_id, ()))

    async def _keep(self, peer_id: str, tried: trio.Event) -> None:
        await self._attempt(peer_id)
        tried.set()
        pause_s = self._limits.redial_min_s
        while True:
            met_s = trio.current_time()
            await self._presence.wait_gone(peer_id)
            if trio.current_time() - met_s > self._limits.redial_max_s:
                pause_s = self._limits.redial_min_s
            await trio.sleep(pause_s * random.uniform(1 - _SPREAD, 1 + _SPREAD))
            pause_s = min(2 * pause_s, self._limits.redial_max_s)
            await self._attempt(peer_id)

    async def _attempt(self, peer_id: str) -> None:
        for address in self.addresses(peer_id):
            if peer_id in self._presence:
                return
            try:
                with trio.move_on_after(self._limits.dial_timeout_s):
                    await self._dial(peer_id, address)
            except P2PError:
                continue
