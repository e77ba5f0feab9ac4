"""One node's network in a `MemoryHub`. Everything that reaches it is posted to its pump."""

import math
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

import trio

from p2p.conduct import Conduct
from p2p.errors import (
    BadAddress,
    BadPeerId,
    MessageTooLarge,
    PeerUnreachable,
    RequestTimeout,
)
from p2p.gatekeeper import Gatekeeper
from p2p.identity import Identity, public_key_of
from p2p.limits import Limits
from p2p.local import pour, request_locally
from p2p.memory_gossip import MemoryGossip
from p2p.memory_link import Link
from p2p.memory_pump import Pump
from p2p.messages import M, Message, encode
from p2p.network import BulkHandler, BulkInfo, PeerEvent, PeerInfo, Received, Sink
from p2p.outstanding import Outstanding
from p2p.presence import Presence
from p2p.rates import Turnstile
from p2p.redial import Redialer
from p2p.requests import Kind
from p2p.serving import BUSY, BulkDesk, RequestDesk
from p2p.transfer import Ask

if TYPE_CHECKING:
    from p2p.memory import MemoryHub

_PREFIX = "/memory/"


def peer_id_in(address: str) -> str:
    """The peer id of a memory address. Raises BadAddress."""
    peer_id = address.removeprefix(_PREFIX)
    try:
        public_key_of(peer_id)
    except BadPeerId as error:
        raise BadAddress(address, "not /memory/ and a peer id") from error
    return peer_id


class Member:
    """A `Network` in memory; see `network.py` for what its methods promise."""

    def __init__(
        self,
        hub: "MemoryHub",
        nursery: trio.Nursery,
        identity: Identity,
        chain_id: str,
        limits: Limits,
    ) -> None:
        self.peer_id = identity.peer_id
        self.addresses: tuple[str, ...] = (_PREFIX + identity.peer_id,)
        self.counters: Counter[str] = Counter()
        self.presence = Presence(limits.event_queue, self.counters)
        self.redialer = Redialer(nursery, self._dial, self.presence, limits)
        self._hub = hub
        self._nursery = nursery
        self._limits = limits
        self._conduct = Conduct(limits, self.counters)
        self._conduct.hang_up = self._hang_up
        gate = Gatekeeper(identity, chain_id, limits, hub.clock, self.counters, self._conduct)
        self.gossip = MemoryGossip(self, chain_id, gate, limits.subscription_queue, self.counters)
        self._desk = RequestDesk(limits)
        self._bulk = BulkDesk(limits)
        self._serving = Turnstile(limits.requests_per_peer)
        self._asked: dict[str, Outstanding] = {}
        self.pump = Pump()

    def peers(self) -> tuple[PeerInfo, ...]:
        return tuple(PeerInfo(peer_id, (_PREFIX + peer_id,)) for peer_id in self.presence.peers)

    def connections(self) -> AbstractAsyncContextManager[trio.MemoryReceiveChannel[PeerEvent]]:
        return self.presence.events()

    async def connect(self, address: str, *, for_s: float = math.inf) -> None:
        peer_id = peer_id_in(address)
        if peer_id != self.peer_id:
            await self.redialer.want(peer_id, address, for_s)

    async def publish(self, topic: str, message: Message) -> None:
        await self.gossip.publish(topic, message)

    def subscribe(
        self, topic: str
    ) -> AbstractAsyncContextManager[trio.MemoryReceiveChannel[Received]]:
        return self.gossip.listen(topic)

    def serve(self, request_type: type[M], handler: Callable[[str, M], Awaitable[Message]]) -> None:
        self._desk.serve(request_type, handler)

    async def request(self, peer_id: str, message: Message, *, timeout_s: float) -> Message:
        if peer_id == self.peer_id:
            return await request_locally(self._desk, peer_id, message, timeout_s)
        payload = encode(message)
        if len(payload) > self._limits.max_frame_bytes:
            raise MessageTooLarge(len(payload), self._limits.max_frame_bytes)
        link, peer = self._hub.linked(self.peer_id, peer_id)
        asked = self._asked.setdefault(peer_id, Outstanding(peer_id))
        with asked.opened() as request_id, trio.move_on_after(timeout_s):
            link.send(peer, peer.asked, link, self, request_id, payload)
            return await asked.wait(request_id)
        raise RequestTimeout(peer_id, timeout_s)

    def serve_bulk(self, name: str, handler: BulkHandler) -> None:
        self._bulk.serve(name, handler)

    async def fetch(
        self,
        peer_id: str,
        name: str,
        argument: bytes,
        sink: Sink,
        *,
        max_bytes: int,
        timeout_s: float,
    ) -> BulkInfo:
        ask = Ask(name, argument)
        with trio.move_on_after(timeout_s):
            if peer_id == self.peer_id:
                return await pour(await self._bulk.find(peer_id, ask), sink, max_bytes)
            return await self._fetch(peer_id, ask, sink, max_bytes)
        raise RequestTimeout(peer_id, timeout_s)

    async def _fetch(self, peer_id: str, ask: Ask, sink: Sink, max_bytes: int) -> BulkInfo:
        link, peer = self._hub.linked(self.peer_id, peer_id)

        async def receive(chunk: bytes) -> None:
            await link.pass_piece(self.peer_id)
            await sink(chunk)

        with link.scope():
            await link.round_trip(self.peer_id, peer_id)
            return await pour(await peer._bulk.find(self.peer_id, ask), receive, max_bytes)
        raise PeerUnreachable(peer_id, "the connection was lost")

    def post(self, due_s: float, deliver: Callable[..., None], *args: Any) -> None:
        """Have `deliver(*args)` called when trio's clock shows `due_s`."""
        self.pump.post(due_s, deliver, *args)

    def neighbours(self) -> Iterator[tuple[Link, "Member"]]:
        """Who is connected, and over which link."""
        return (self._hub.linked(self.peer_id, peer_id) for peer_id in self.presence.peers)

    def refuses(self, peer_id: str) -> bool:
        """Whether the peer was cut off and may not come back yet."""
        return self._conduct.refuses(public_key_of(peer_id))

    def asked(self, link: Link, sender: "Member", request_id: int, payload: bytes) -> None:
        """A request has arrived."""
        if self._serving.enter(sender.peer_id):
            self._nursery.start_soon(self._answer, link, sender, request_id, payload)
        else:
            link.send(sender, sender.answered, self.peer_id, request_id, Kind.REFUSAL, BUSY)

    def answered(self, sender: str, request_id: int, kind: Kind, payload: bytes) -> None:
        """An answer has arrived."""
        if sender in self._asked:
            self._asked[sender].answer(request_id, kind, payload)

    def lost(self, peer_id: str) -> None:
        """The connection to the peer has ended."""
        if peer_id in self._asked:
            self._asked.pop(peer_id).fail("the connection was lost")
        self.presence.left(peer_id)

    async def _answer(self, link: Link, sender: "Member", request_id: int, payload: bytes) -> None:
        try:
            kind, answer = await self._desk.answer(sender.peer_id, payload)
        finally:
            self._serving.leave(sender.peer_id)
        link.send(sender, sender.answered, self.peer_id, request_id, kind, answer)

    async def _dial(self, peer_id: str, _address: str) -> None:
        way = self._hub.way([self.peer_id], peer_id)
        await trio.sleep_until(way.stream_due_s(trio.current_time()))
        self._hub.link(self.peer_id, peer_id)

    def _hang_up(self, peer_id: str) -> None:
        self._hub.unlink(self.peer_id, peer_id)
