"""One node's network in a `MemoryHub`.

Everything that reaches a member is posted to its pump, which hands it over when it is due: in
order for one sender, and never inside the call that sent it.
"""

import heapq
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

import trio

from p2p.errors import (
    BadAddress,
    BadPeerId,
    EnvelopeRefused,
    MessageTooLarge,
    PeerUnreachable,
    RequestTimeout,
)
from p2p.gatekeeper import Gatekeeper
from p2p.identity import Identity, public_key_of
from p2p.limits import Limits, Turnstile
from p2p.local import pour, request_locally
from p2p.messages import M, Message, encode
from p2p.network import BulkHandler, BulkInfo, PeerEvent, PeerInfo, Received, Sink
from p2p.outstanding import Outstanding
from p2p.presence import Presence
from p2p.redial import Redialer
from p2p.requests import Kind
from p2p.serving import BUSY, BulkDesk, RequestDesk
from p2p.subscriptions import Topics
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
        self._chain_id = chain_id
        self._limits = limits
        self._gate = Gatekeeper(identity, chain_id, limits, hub.clock, self.counters)
        self._topics: Topics[Received] = Topics(
            limits.subscription_queue, lambda: self.counters.update(gossip_dropped=1)
        )
        self._desk = RequestDesk(limits)
        self._bulk = BulkDesk(limits)
        self._serving = Turnstile(limits.requests_per_peer)
        self._asked: dict[str, Outstanding] = {}
        self._inbox: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = itertools.count()
        self._posted = trio.Event()

    def peers(self) -> tuple[PeerInfo, ...]:
        return tuple(PeerInfo(peer_id, (_PREFIX + peer_id,)) for peer_id in self.presence.peers)

    def connections(self) -> AbstractAsyncContextManager[trio.MemoryReceiveChannel[PeerEvent]]:
        return self.presence.events()

    async def connect(self, address: str) -> None:
        peer_id = peer_id_in(address)
        if peer_id != self.peer_id:
            await self.redialer.want(peer_id, address)

    async def publish(self, topic: str, message: Message) -> None:
        await self._gate.pace()
        envelope = self._gate.seal(topic, message)
        self._hub.gossip(self.peer_id, self._chain_id, topic, envelope)

    def subscribe(
        self, topic: str
    ) -> AbstractAsyncContextManager[trio.MemoryReceiveChannel[Received]]:
        return self._topics.listen(topic)

    def serve(self, request_type: type[M], handler: Callable[[str, M], Awaitable[Message]]) -> None:
        self._desk.serve(request_type, handler)

    async def request(self, peer_id: str, message: Message, *, timeout_s: float) -> Message:
        if peer_id == self.peer_id:
            return await request_locally(self._desk, peer_id, message, timeout_s)
        payload = encode(message)
        if len(payload) > self._limits.max_frame_bytes:
            raise MessageTooLarge(len(payload), self._limits.max_frame_bytes)
        _, peer = self._hub.linked(self.peer_id, peer_id)
        asked = self._asked.setdefault(peer_id, Outstanding(peer_id))
        with asked.opened() as request_id, trio.move_on_after(timeout_s):
            peer.post(self._hub.latency_s, peer.asked, self.peer_id, request_id, payload)
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
        with link.scope():
            await trio.sleep(2 * self._hub.latency_s)
            return await pour(await peer._bulk.find(self.peer_id, ask), sink, max_bytes)
        raise PeerUnreachable(peer_id, "the connection was lost")

    def post(self, delay_s: float, deliver: Callable[..., None], *args: Any) -> None:
        """Have `deliver(*args)` called by the pump in `delay_s` seconds."""
        due_s = trio.current_time() + delay_s
        heapq.heappush(self._inbox, (due_s, next(self._order), deliver, args))
        self._posted.set()

    async def pump(self) -> None:
        """Hand over what is due, for as long as the network is open."""
        while True:
            self._posted = trio.Event()
            while self._inbox and self._inbox[0][0] <= trio.current_time():
                _, _, deliver, args = heapq.heappop(self._inbox)
                deliver(*args)
            next_s = self._inbox[0][0] if self._inbox else float("inf")
            with trio.move_on_at(next_s):
                await self._posted.wait()

    def hears(self, chain_id: str, topic: str) -> bool:
        """Whether gossip of the chain and topic is listened to here."""
        return chain_id == self._chain_id and topic in self._topics

    def admit(self, topic: str, data: bytes) -> None:
        """An envelope has arrived."""
        try:
            received = self._gate.admit(topic, data)
        except EnvelopeRefused:
            return
        self._topics.deliver(topic, received)

    def asked(self, sender: str, request_id: int, payload: bytes) -> None:
        """A request has arrived."""
        if self._serving.enter(sender):
            self._nursery.start_soon(self._answer, sender, request_id, payload)
        else:
            self._reply(sender, request_id, Kind.REFUSAL, BUSY)

    def answered(self, sender: str, request_id: int, kind: Kind, payload: bytes) -> None:
        """An answer has arrived."""
        if sender in self._asked:
            self._asked[sender].answer(request_id, kind, payload)

    def lost(self, peer_id: str) -> None:
        """The connection to the peer has ended."""
        if peer_id in self._asked:
            self._asked.pop(peer_id).fail("the connection was lost")
        self.presence.left(peer_id)

    async def _answer(self, sender: str, request_id: int, payload: bytes) -> None:
        try:
            kind, answer = await self._desk.answer(sender, payload)
        finally:
            self._serving.leave(sender)
        self._reply(sender, request_id, kind, answer)

    def _reply(self, sender: str, request_id: int, kind: Kind, payload: bytes) -> None:
        try:
            _, peer = self._hub.linked(self.peer_id, sender)
        except PeerUnreachable:
            return
        peer.post(self._hub.latency_s, peer.answered, self.peer_id, request_id, kind, payload)

    async def _dial(self, peer_id: str, _address: str) -> None:
        await trio.sleep(self._hub.latency_s)
        self._hub.link(self.peer_id, peer_id)
