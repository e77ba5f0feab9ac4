"""Gossipsub's router with bounds.

libp2p's GossipSub decides who is in the mesh. Replaced is what follows a stranger's word without
limit (peer exchange dials any address it is told, IWANT is answered as often as it repeats an id,
PRUNE is remembered for topics that do not exist, the messages kept for IWANT have no bound) and
what is paid per message and neighbour: a message is serialised once and queued as bytes.
"""

from collections import Counter

from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID
from libp2p.pubsub.gossipsub import PROTOCOL_ID as PROTOCOL_ID_V10
from libp2p.pubsub.gossipsub import PROTOCOL_ID_V11, GossipSub
from libp2p.pubsub.mcache import MessageCache
from libp2p.pubsub.pb import rpc_pb2

_FLOOD_PEERS = 16
"""Our own messages go to all subscribers we are connected to, if they are not more than these:
gossipsub's flood publishing. Others' messages go to the mesh."""
_WINDOW, _HISTORY = 3, 5
"""Heartbeats in which a message is announced, and kept."""
_RECENT_MESSAGES = 4096
_RECENT_BYTES = 16 * 1024 * 1024
_MAX_CONTROL = 64
_MAX_IDS = 512
_SERVED_IDS = 64


class RecentMessages(MessageCache):  # type: ignore[misc]
    """Messages of the last heartbeats, for IWANT and for new neighbours; no more when it is full.

    What is not kept is passed on all the same.
    """

    def __init__(self, window_size: int, history_size: int) -> None:
        super().__init__(window_size, history_size)
        self._bytes = 0

    def put(self, msg: rpc_pb2.Message) -> None:
        """Keep a message if there is room for it."""
        size = msg.ByteSize()
        if len(self.msgs) < _RECENT_MESSAGES and self._bytes + size <= _RECENT_BYTES:
            super().put(msg)
            self._bytes += size

    def shift(self) -> None:
        """A heartbeat has passed."""
        super().shift()
        self._bytes = sum(message.ByteSize() for message in self.msgs.values())


class BoundedGossipSub(GossipSub):  # type: ignore[misc]
    """The router. Degrees are for small networks: every copy of a message costs CPU."""

    def __init__(self, counters: Counter[str]) -> None:
        self.counters = counters
        super().__init__(
            [TProtocol(PROTOCOL_ID_V11), TProtocol(PROTOCOL_ID_V10)],
            degree=4,
            degree_low=3,
            degree_high=8,
            heartbeat_interval=1,
            unsubscribe_back_off=1,
            adaptive_gossip_enabled=False,
            spam_protection_enabled=False,
            eclipse_protection_enabled=False,
        )
        self.mcache = RecentMessages(_WINDOW, _HISTORY)
        # Its weights are all zero, and its tables grow with every name a stranger invents.
        self.scorer = None

    async def publish(self, msg_forwarder: ID, pubsub_msg: rpc_pb2.Message) -> None:
        """Pass a message on to whom it concerns."""
        self.mcache.put(pubsub_msg)
        (topic,) = pubsub_msg.topicIDs
        subscribers = self.pubsub.peer_topics.get(topic, ())
        if msg_forwarder == self.pubsub.my_id and len(subscribers) <= _FLOOD_PEERS:
            targets = tuple(subscribers)
        else:
            targets = tuple(self._get_peers_to_send([topic], msg_forwarder, ID(pubsub_msg.from_id)))
        self._queue(pubsub_msg, targets)

    async def send_recent_messages(self, peer_id: ID, topic: str) -> None:
        """Give a new subscriber the last seconds, so that none is lost to a slow hello."""
        for message_id in self.mcache.window(topic):
            message = self.mcache.get(message_id)
            if message is not None and message.from_id != peer_id.to_bytes():
                self._queue(message, (peer_id,))

    async def handle_rpc(self, rpc: rpc_pb2.RPC, sender_peer_id: ID) -> None:
        """A neighbour's control messages, as far as they are about topics of ours."""
        control = rpc.control
        for ihave in control.ihave[:_MAX_CONTROL]:
            if ihave.topicID in self.mesh:
                del ihave.messageIDs[_MAX_IDS:]
                await self.handle_ihave(ihave, sender_peer_id)
        for iwant in control.iwant[:1]:
            await self.handle_iwant(iwant, sender_peer_id)
        for graft in control.graft[:_MAX_CONTROL]:
            await self.handle_graft(graft, sender_peer_id)
        for prune in control.prune[:_MAX_CONTROL]:
            if prune.topicID in self.mesh:
                await self.handle_prune(prune, sender_peer_id)

    async def handle_iwant(self, iwant_msg: rpc_pb2.ControlIWant, sender_peer_id: ID) -> None:
        """Send what a neighbour has missed, each message once."""
        if not self._check_iwant_rate_limit(sender_peer_id):
            return
        for message_id in set(iwant_msg.messageIDs[:_SERVED_IDS]):
            message = self.mcache.get(message_id)
            if message is not None:
                self._queue(message, (sender_peer_id,))

    async def emit_control_message(self, control_msg: rpc_pb2.ControlMessage, to_peer: ID) -> None:
        """Queue a control message before any gossip."""
        self.send_rpc(to_peer, rpc_pb2.RPC(control=control_msg), priority=True)

    def remove_peer(self, peer_id: ID) -> None:
        """Forget a neighbour, its back-off included."""
        super().remove_peer(peer_id)
        for peers in self.back_off.values():
            peers.pop(peer_id, None)

    async def _do_px(self, px_peers: list[rpc_pb2.PeerInfo]) -> None:
        """Dial nobody on a stranger's word."""

    def _queue(self, message: rpc_pb2.Message, targets: tuple[ID, ...]) -> None:
        data = rpc_pb2.RPC(publish=[message]).SerializeToString()
        for peer_id in targets:
            queue = self.pubsub.peer_queues.get(peer_id)
            if queue is not None:
                queue.push(data)
