"""The network's twin in memory: many nodes in one process, no sockets, no threads.

A `MemoryHub` is the world. Networks opened on it are connected when one of them connects to the
other's address, `/memory/<peer id>`, and then behave like the real ones: gossip passes from
subscriber to subscriber, every message is encoded, signed and checked. (What is published before
a peer connects does not reach it; the real network may hand it the last seconds.) Under
pytest-trio's `autojump_clock` all of it runs in virtual time, `latency_s` per hop.
"""

import itertools
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

import trio

from p2p.errors import PeerUnreachable
from p2p.identity import Identity
from p2p.limits import Limits
from p2p.memory_member import Member, peer_id_in
from p2p.network import Clock, Network

_EPOCH_MS = 1_700_000_000_000


def virtual_clock_ms() -> int:
    """trio's clock as milliseconds of 1970: under `autojump_clock` it moves with the test."""
    return _EPOCH_MS + round(trio.current_time() * 1000)


class Link:
    """A connection of two members: what must end when it ends."""

    def __init__(self) -> None:
        self._scopes: set[trio.CancelScope] = set()

    @contextmanager
    def scope(self) -> Iterator[trio.CancelScope]:
        """A cancel scope that is cancelled when the connection ends."""
        with trio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                yield scope
            finally:
                self._scopes.discard(scope)

    def end(self) -> None:
        """The connection is gone."""
        for scope in self._scopes:
            scope.cancel()


class MemoryHub:
    """The world in which memory networks meet. `latency_s`: what a message takes per hop."""

    def __init__(self, *, latency_s: float = 0.0, clock: Clock = virtual_clock_ms) -> None:
        self.latency_s = latency_s
        self.clock = clock
        self._members: dict[str, Member] = {}
        self._links: dict[frozenset[str], Link] = {}
        self._cut: set[frozenset[str]] = set()

    @asynccontextmanager
    async def open_network(
        self,
        identity: Identity,
        chain_id: str,
        *,
        bootstrap: Sequence[str] = (),
        limits: Limits | None = None,
    ) -> AsyncGenerator[Network]:
        """A network of this world. Raises ValueError if the identity has one open."""
        peer_id = identity.peer_id
        if peer_id in self._members:
            raise ValueError(f"{peer_id} is open already")
        wanted = [(peer_id_in(address), address) for address in bootstrap]
        async with trio.open_nursery() as nursery:
            member = Member(self, nursery, identity, chain_id, limits or Limits())
            self._members[peer_id] = member
            nursery.start_soon(member.pump)
            for other, address in wanted:
                nursery.start_soon(member.redialer.want, other, address)
            try:
                yield member
            finally:
                del self._members[peer_id]
                self.disconnect(peer_id)
                nursery.cancel_scope.cancel()

    def partition(self, a: str, b: str) -> None:
        """Cut the two peers' connection and let none through until `heal`."""
        self._cut.add(frozenset((a, b)))
        self._unlink(frozenset((a, b)))

    def heal(self, a: str, b: str) -> None:
        """End a partition. Whoever wants the other dials again at the next turn of its back-off."""
        self._cut.discard(frozenset((a, b)))

    def disconnect(self, peer_id: str) -> None:
        """End all connections of the peer; it may be dialled again at once."""
        for pair in [pair for pair in self._links if peer_id in pair]:
            self._unlink(pair)

    def link(self, dialler: str, listener: str) -> None:
        """Connect the two. Raises PeerUnreachable if the listener is not there or cut off."""
        pair = frozenset((dialler, listener))
        if listener not in self._members or dialler not in self._members or pair in self._cut:
            raise PeerUnreachable(listener, "nobody listens there")
        if pair not in self._links:
            self._links[pair] = Link()
            self._members[dialler].presence.joined(listener)
            self._members[listener].presence.joined(dialler)

    def linked(self, a: str, b: str) -> tuple[Link, Member]:
        """The connection of `a` to `b`, and `b`. Raises PeerUnreachable if there is none."""
        link = self._links.get(frozenset((a, b)))
        if link is None:
            raise PeerUnreachable(b, "not connected")
        return link, self._members[b]

    def gossip(self, author: str, chain_id: str, topic: str, data: bytes) -> None:
        """Spread an envelope: subscribers hear it and pass it on, others do neither."""
        seen = {author}
        edge = [author]
        for hops in itertools.count(1):
            heard = {
                peer_id
                for speaker in edge
                for peer_id in self._members[speaker].presence.peers
                if peer_id not in seen and self._members[peer_id].hears(chain_id, topic)
            }
            if not heard:
                return
            edge = sorted(heard)
            seen |= heard
            for peer_id in edge:
                member = self._members[peer_id]
                member.post(hops * self.latency_s, member.admit, topic, data)

    def _unlink(self, pair: frozenset[str]) -> None:
        link = self._links.pop(pair, None)
        if link is None:
            return
        link.end()
        for peer_id, other in itertools.permutations(pair):
            if peer_id in self._members:
                self._members[peer_id].lost(other)
