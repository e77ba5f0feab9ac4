"""The network's twin in memory: many nodes in one process, no sockets, no threads.

A `MemoryHub` is the world. Networks opened on it are connected when one of them connects to the
other's address, `/memory/<peer id>`, and then behave like the real ones: gossip passes from
subscriber to subscriber, every message is encoded, signed and checked, and who misbehaves is cut
off. (What is published before a peer connects does not reach it; the real network may hand it the
last seconds.) Under pytest-trio's `autojump_clock` all of it runs in virtual time.

The weather is fine unless it is made otherwise, for all links or for some; see `weather.py` for
what it does. What decides is seeded, for each link and direction on its own.
"""

import random
from collections.abc import AsyncGenerator, Collection, Iterator, Sequence
from contextlib import asynccontextmanager

import trio

from p2p.errors import PeerUnreachable
from p2p.identity import Identity
from p2p.limits import Limits
from p2p.memory_link import Link
from p2p.memory_member import Member, peer_id_in
from p2p.network import Clock, Network
from p2p.weather import Way, Weather

_EPOCH_MS = 1_700_000_000_000

Pair = frozenset[str]
Side = str | Collection[str]
"""A peer id, or some."""


def virtual_clock_ms() -> int:
    """trio's clock as milliseconds of 1970: under `autojump_clock` it moves with the test."""
    return _EPOCH_MS + round(trio.current_time() * 1000)


class MemoryHub:
    """The world in which memory networks meet. `latency_s`: what a hop takes in fine weather."""

    def __init__(
        self,
        *,
        latency_s: float = 0.0,
        clock: Clock = virtual_clock_ms,
        weather: Weather | None = None,
        seed: int = 0,
    ) -> None:
        self.clock = clock
        self._weather = weather or Weather(delay_s=(latency_s, latency_s))
        self._local_weather: dict[Pair, Weather] = {}
        self._seed = seed
        self._members: dict[str, Member] = {}
        self._links: dict[Pair, Link] = {}
        self._cut: set[Pair] = set()

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
            nursery.start_soon(member.pump.run)
            for other, address in wanted:
                nursery.start_soon(member.redialer.want, other, address)
            try:
                yield member
            finally:
                del self._members[peer_id]
                self.disconnect(peer_id)
                nursery.cancel_scope.cancel()

    def change_weather(self, weather: Weather, one: Side = (), other: Side = ()) -> None:
        """Change it between the two sides, or, if none are named, wherever it was never named."""
        for pair in _pairs(one, other):
            self._local_weather[pair] = weather
        if not one and not other:
            self._weather = weather
        for pair, link in self._links.items():
            link.change_weather(self._weather_of(pair))

    def partition(self, one: Side, other: Side, *, silent_s: float = 0.0) -> None:
        """Cut every connection between the two sides and let none through until `heal`.

        A real connection that is cut does not end: both ends go on believing in it until its
        pings have not been answered for a time, four times `Limits.keepalive_s`. That is
        `silent_s`: for so long gossip is lost and requests and transfers stand still; after it
        the connections end, unless `heal` came before. 0 is a connection that ends at once.
        """
        for pair in _pairs(one, other):
            self._cut.add(pair)
            if pair in self._links:
                self._silence(pair, silent_s)

    def heal(self, one: Side, other: Side) -> None:
        """End a partition. Whoever wants the other dials again at the next turn of its back-off."""
        for pair in _pairs(one, other):
            self._cut.discard(pair)
            if pair in self._links:
                self._links[pair].mend()

    def disconnect(self, peer_id: str) -> None:
        """End all connections of the peer; it may be dialled again at once."""
        for pair in [pair for pair in self._links if peer_id in pair]:
            self.unlink(*pair)

    def link(self, dialler: str, listener: str) -> None:
        """Connect the two. Raises PeerUnreachable if the listener is not there or cut off."""
        pair = frozenset((dialler, listener))
        if listener not in self._members or dialler not in self._members or pair in self._cut:
            raise PeerUnreachable(listener, "nobody listens there")
        if any(self._members[a].refuses(b) for a in pair for b in pair - {a}):
            raise PeerUnreachable(listener, "the peer is refused for a time")
        if pair not in self._links:
            self._links[pair] = Link((to, self.way(pair - {to}, to)) for to in pair)
            self._members[dialler].presence.joined(listener)
            self._members[listener].presence.joined(dialler)

    def linked(self, a: str, b: str) -> tuple[Link, Member]:
        """The connection of `a` to `b`, and `b`. Raises PeerUnreachable if there is none."""
        link = self._links.get(frozenset((a, b)))
        if link is None:
            raise PeerUnreachable(b, "not connected")
        return link, self._members[b]

    def way(self, senders: Collection[str], receiver: str) -> Way:
        """The way from one peer to another, with its own luck."""
        (sender,) = senders
        rng = random.Random(f"{self._seed} {sender} {receiver}")
        return Way(self._weather_of(frozenset((sender, receiver))), rng)

    def unlink(self, a: str, b: str) -> None:
        """End the connection of the two, if there is one."""
        link = self._links.pop(frozenset((a, b)), None)
        if link is None:
            return
        link.end()
        for peer_id, other in ((a, b), (b, a)):
            if peer_id in self._members:
                self._members[peer_id].lost(other)

    def _weather_of(self, pair: Pair) -> Weather:
        return self._local_weather.get(pair, self._weather)

    def _silence(self, pair: Pair, silent_s: float) -> None:
        link = self._links[pair]
        if not silent_s:
            self.unlink(*pair)
        elif link.cut_at_s is None:
            cut_at_s = link.cut_at_s = trio.current_time()
            timer = self._members[min(pair)].pump
            timer.post(cut_at_s + silent_s, self._give_up, pair, link, cut_at_s)

    def _give_up(self, pair: Pair, link: Link, cut_at_s: float) -> None:
        if link.cut_at_s == cut_at_s and self._links.get(pair) is link:
            self.unlink(*pair)


def _pairs(one: Side, other: Side) -> Iterator[Pair]:
    ones, others = ({side} if isinstance(side, str) else set(side) for side in (one, other))
    return (frozenset((a, b)) for a in ones for b in others if a != b)
