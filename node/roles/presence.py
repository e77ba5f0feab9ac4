"""Telling who we are and learning who the others are."""

from collections.abc import Sequence
from contextlib import suppress

import msgspec
import trio

from node.directory import Directory
from node.wire.presence import PRESENCE_TOPIC, Hello, Presence
from p2p.errors import P2PError
from p2p.messages import Message
from p2p.network import Network, Received

HELLO_TIMEOUT_S = 5.0
"""For a new peer to answer with its presence."""
MAX_ADDRESSES = 16
"""Own addresses that are announced: a machine may have more than a message takes."""
MAX_APPROACHES = 16
"""Peers dialled at a time because we heard of them; those not tried are heard of again."""

MAX_TRIED = 4
"""Addresses of one peer that are tried."""
WANTED_S = 30.0
"""How long a peer that we heard of is redialled when it is lost; it is heard of again."""


class PresenceRole:
    """Publishes this node's presence and keeps the directory."""

    def __init__(
        self, network: Network, directory: Directory, presence: Presence, interval_s: float
    ) -> None:
        self._network = network
        self._directory = directory
        addresses = presence.addresses[:MAX_ADDRESSES]
        self._presence = msgspec.structs.replace(presence, addresses=addresses)
        self._interval_s = interval_s
        self._approached: set[str] = set()
        directory.learn(network.peer_id, presence)
        directory.connection(network.peer_id, connected=True)
        network.serve(Hello, self._on_hello)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Publish and listen until cancelled."""
        async with (
            self._network.subscribe(PRESENCE_TOPIC) as received,
            self._network.connections() as connections,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(self._publish)
            nursery.start_soon(self._listen, received, nursery)
            for peer in self._network.peers():
                nursery.start_soon(self._greet, peer.peer_id)
            task_status.started()
            async for event in connections:
                self._directory.connection(event.peer_id, event.connected)
                if event.connected:
                    nursery.start_soon(self._greet, event.peer_id)

    async def _publish(self) -> None:
        while True:
            self._directory.learn(self._network.peer_id, self._presence)
            await self._network.publish(PRESENCE_TOPIC, self._presence)
            await trio.sleep(self._interval_s)

    async def _listen(
        self, received: trio.MemoryReceiveChannel[Received], nursery: trio.Nursery
    ) -> None:
        async for sender, message in received:
            if not isinstance(message, Presence) or not self._directory.learn(sender, message):
                continue
            if self._is_to_be_dialled(sender):
                self._approached.add(sender)
                nursery.start_soon(self._approach, sender, message.addresses)

    def _is_to_be_dialled(self, peer_id: str) -> bool:
        """Whether we only heard of it. One of the two dials, or they would cross."""
        if self._directory.is_connected(peer_id) or self._network.peer_id > peer_id:
            return False
        return peer_id not in self._approached and len(self._approached) < MAX_APPROACHES

    async def _approach(self, peer_id: str, addresses: Sequence[str]) -> None:
        """Dial its own addresses, one after the other, until one is right."""
        own = [one for one in addresses[:MAX_TRIED] if one.endswith(f"/{peer_id}")]
        try:
            for address in own:
                if self._directory.is_connected(peer_id):
                    return
                with suppress(P2PError):  # a stranger's text is not always an address
                    await self._network.connect(address, for_s=WANTED_S)
        finally:
            self._approached.discard(peer_id)

    async def _greet(self, peer_id: str) -> None:
        """Exchange presences at once instead of waiting for the next gossip."""
        self._directory.connection(peer_id, connected=True)
        try:
            answer = await self._network.request(
                peer_id, Hello(presence=self._presence), timeout_s=HELLO_TIMEOUT_S
            )
        except P2PError:
            return
        if isinstance(answer, Presence):
            self._directory.learn(peer_id, answer)

    async def _on_hello(self, sender: str, message: Hello) -> Message:
        self._directory.learn(sender, message.presence)
        return self._presence
