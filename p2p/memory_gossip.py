"""Gossip at one member of a `MemoryHub`: what it hears for the first time and finds good is
handed to its subscribers and passed on to its neighbours."""

from collections import Counter
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

import trio

from p2p.errors import EnvelopeRefused
from p2p.gatekeeper import Gatekeeper
from p2p.identity import SIGNATURE_BYTES
from p2p.messages import Message
from p2p.network import Received
from p2p.seen import SeenIds
from p2p.subscriptions import Topics

if TYPE_CHECKING:
    from p2p.memory_member import Member

_SEEN_IDS, _SEEN_S = 32_768, 120.0


class MemoryGossip:
    """One member's ears and mouth."""

    def __init__(
        self, member: "Member", chain_id: str, gate: Gatekeeper, queue: int, counters: Counter[str]
    ) -> None:
        self._member = member
        self._chain_id = chain_id
        self._gate = gate
        self._seen = SeenIds(_SEEN_IDS, _SEEN_S)
        self._topics: Topics[Received] = Topics(queue, lambda: counters.update(gossip_dropped=1))

    def listen(
        self, topic: str
    ) -> AbstractAsyncContextManager[trio.MemoryReceiveChannel[Received]]:
        """What is heard on the topic from now on."""
        return self._topics.listen(topic)

    async def publish(self, topic: str, message: Message) -> None:
        """Tell all neighbours. Raises MessageTooLarge."""
        await self._gate.pace()
        envelope = self._gate.seal(topic, message)
        self._is_news(envelope)
        self._spread(topic, envelope, {self._member.peer_id})

    def hears(self, chain_id: str, topic: str) -> bool:
        """Whether gossip of the chain and topic is listened to here."""
        return chain_id == self._chain_id and topic in self._topics

    def heard(self, neighbour: str, topic: str, data: bytes) -> None:
        """An envelope has arrived."""
        if topic not in self._topics or not self._is_news(data):
            return
        try:
            received = self._gate.admit(topic, data)
        except EnvelopeRefused:
            return
        self._topics.deliver(topic, received)
        self._spread(topic, data, {self._member.peer_id, neighbour, received.sender})

    def _is_news(self, data: bytes) -> bool:
        """Note what was heard; whether it was for the first time."""
        key = data[-SIGNATURE_BYTES:]
        if self._seen.has(key):
            return False
        self._seen.add(key, key, trio.current_time())
        return True

    def _spread(self, topic: str, data: bytes, knowing: set[str]) -> None:
        for link, peer in self._member.neighbours():
            if peer.peer_id not in knowing and peer.gossip.hears(self._chain_id, topic):
                link.gossip(peer, peer.gossip.heard, self._member.peer_id, topic, data)
