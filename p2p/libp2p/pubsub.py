"""Gossipsub's messages: read, checked, handed over, passed on.

libp2p's Pubsub with the parts replaced that act on what strangers send. A message is let in only
if it is on one topic of ours that we listen to, signed by the Ed25519 key that its peer id names,
and if `accept`, which opens our own envelope inside, says so. All of that happens between two
turns of the scheduler, so the same message arriving twice cannot be let in twice. A message whose
id was heard with another signature is an equivocation of its author, or its neighbour's forgery.
"""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import trio
from libp2p.abc import INetStream
from libp2p.exceptions import BaseLibp2pError
from libp2p.peer.id import ID
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import Pubsub
from libp2p.stream_muxer.exceptions import MuxedStreamEOF, MuxedStreamError

from p2p.conduct import Conduct, Offence
from p2p.identity import public_key_of
from p2p.libp2p.gossip import OutQueue, signer_of, statement
from p2p.libp2p.host import GuardedHost
from p2p.libp2p.inflow import Inflow
from p2p.libp2p.mesh import BoundedGossipSub
from p2p.libp2p.yamux.stream import YamuxStream
from p2p.limits import Limits
from p2p.seen import SeenIds, Sight

logger = logging.getLogger(__name__)

Accept = Callable[[str, bytes, bytes], bool]
"""`accept(topic, data, signer's key)`: whether the message is good. Must not raise."""

_MAX_TOPIC_BYTES = 256
_MAX_SEQNO_BYTES = 16
_CHECKED_AT_ONCE = 16
_SEEN_IDS, _SEEN_S = 32_768, 120.0
_FINGERPRINT_BYTES = 16
_REOPENED_AFTER_S = 1.0
"""At what pace a stream is opened again to a neighbour that resets it each time."""
_MAX_WRAPPING_BYTES = 1024
"""What gossipsub may add to a message of ours, fields that we do not know included."""


class SafePubsub(Pubsub):  # type: ignore[misc]
    """Publishes and receives; `topic_prefix` is what all topics of ours begin with."""

    seen_messages: Any

    def __init__(
        self,
        host: GuardedHost,
        router: BoundedGossipSub,
        topic_prefix: str,
        accept: Accept,
        limits: Limits,
        conduct: Conduct,
    ) -> None:
        self._inflow = Inflow(limits, conduct, router.counters, self._take)
        super().__init__(host, router, strict_signing=True, max_subscriptions_per_peer=64)
        self.seen_messages.stop()
        self.seen_messages = SeenIds(_SEEN_IDS, _SEEN_S)
        self.counter = time.time_ns()
        self._topic_prefix = topic_prefix
        self._accept = accept
        self._limits = limits
        self._conduct = conduct
        self._opening: dict[ID, trio.Lock] = {}

    async def publish(self, topic_id: str, data: bytes) -> None:
        """Sign and send. What we publish ourselves is not delivered to ourselves."""
        message = rpc_pb2.Message(
            data=data,
            topicIDs=[topic_id],
            from_id=self.my_id.to_bytes(),
            seqno=self._next_seqno(),
        )
        message.signature = self.sign_key.sign(statement(message))
        key = message.from_id + message.seqno
        self.seen_messages.add(key, _fingerprint(message), trio.current_time())
        await self.router.publish(self.my_id, message)

    async def push_msg(self, msg_forwarder: ID, msg: rpc_pb2.Message) -> None:
        """Take in a message a neighbour sent. Raises nothing."""
        try:
            new = self._let_in(msg_forwarder, msg)
        except Exception as error:
            # The outermost guard: every field of the message is a stranger's.
            logger.debug("message from %s: %r", msg_forwarder, error)
            return
        if new:
            await self.router.publish(msg_forwarder, msg)

    def _let_in(self, neighbour: ID, message: rpc_pb2.Message) -> bool:
        key = message.from_id + message.seqno
        fingerprint = _fingerprint(message)
        sight = self.seen_messages.look(key, fingerprint)
        if sight is Sight.SAME or not self._is_ours(message):
            return False
        signer = signer_of(message)
        if signer is None:
            self._conduct.blame(public_key_of(str(neighbour)), Offence.FORGERY)
            return False
        if sight is Sight.OTHER:
            self.router.counters["gossip_refused_equivocation"] += 1
            self._conduct.blame(signer, Offence.EQUIVOCATION)
            return False
        self.seen_messages.add(key, fingerprint, trio.current_time())
        topic = message.topicIDs[0].removeprefix(self._topic_prefix)
        return self._accept(topic, message.data, signer)

    def _is_ours(self, message: rpc_pb2.Message) -> bool:
        return (
            len(message.topicIDs) == 1
            and message.topicIDs[0] in self.topic_ids
            and len(message.seqno) <= _MAX_SEQNO_BYTES
            and message.ByteSize() <= self._limits.max_gossip_bytes + _MAX_WRAPPING_BYTES
            and message.from_id != self.my_id.to_bytes()
        )

    async def stream_handler(self, stream: INetStream) -> None:
        """Read a neighbour's stream to its end."""
        await self._inflow.handle(stream)

    async def _take(self, neighbour: ID, rpc: rpc_pb2.RPC) -> None:
        for number, message in enumerate(rpc.publish, 1):
            await self.push_msg(neighbour, message)
            if number % _CHECKED_AT_ONCE == 0:
                await trio.lowlevel.checkpoint()
        for subscription in rpc.subscriptions[: self.max_subscriptions_per_peer]:
            self.handle_subscription(neighbour, subscription)
        if rpc.HasField("control"):
            await self.router.handle_rpc(rpc, neighbour)

    def handle_subscription(self, origin_id: ID, sub_message: rpc_pb2.RPC.SubOpts) -> None:
        """Note what a neighbour listens to, if it can be a topic of ours."""
        topic = sub_message.topicid
        if topic.startswith(self._topic_prefix) and len(topic.encode()) <= _MAX_TOPIC_BYTES:
            super().handle_subscription(origin_id, sub_message)

    def get_hello_packet(self) -> rpc_pb2.RPC:
        """What we tell a new neighbour: our topics."""
        topics = [rpc_pb2.RPC.SubOpts(subscribe=True, topicid=name) for name in self.topic_ids]
        return rpc_pb2.RPC(subscriptions=topics)

    def _build_announce_rpc(
        self, topic_id: str, subscribe: bool
    ) -> tuple[rpc_pb2.RPC, rpc_pb2.RPC.SubOpts]:
        option = rpc_pb2.RPC.SubOpts(subscribe=subscribe, topicid=topic_id)
        return rpc_pb2.RPC(subscriptions=[option]), option

    async def _handle_new_peer(self, peer_id: ID) -> None:
        """Open our stream to a neighbour, if there is none.

        One at a time: two that dial each other have two connections, and both are announced. A
        second stream would replace the first one over there, and then be ended here.
        """
        opening = self._opening.setdefault(peer_id, trio.Lock())
        try:
            async with opening:
                if peer_id not in self.peers:
                    await self._open_stream(peer_id)
        finally:
            if not opening.locked():
                self._opening.pop(peer_id, None)

    async def _open_stream(self, peer_id: ID) -> None:
        stream = await self.host.new_stream(peer_id, self.protocols)
        queue = OutQueue(self._limits, lambda: self.router.counters.update(gossip_out_dropped=1))
        queue.push(self.get_hello_packet())
        self.peers[peer_id] = stream
        self.peer_queues[peer_id] = queue
        self.router.add_peer(peer_id, stream.get_protocol())
        self.manager.run_task(self.handle_sending_messages, peer_id, stream, queue)
        await self._send_recent_messages_to_new_peer(peer_id)

    def connection_lost(self, peer_id: ID) -> None:
        """A connection has ended; if the neighbour's stream was on it, find another way."""
        stream = self.peers.get(peer_id)
        if stream is not None and stream.muxed_conn.is_closed:
            self._handle_dead_peer(peer_id)

    def _handle_dead_peer(self, peer_id: ID) -> None:
        """Our stream to the neighbour is gone.

        What it listens to was said on its own stream, and is still true while it is connected.
        """
        topics = [topic for topic, peers in self.peer_topics.items() if peer_id in peers]
        super()._handle_dead_peer(peer_id)
        if topics and self._peer_is_connected(peer_id):
            self._peer_subscription_count[peer_id] = len(topics)
            for topic in topics:
                self.peer_topics.setdefault(topic, set()).add(peer_id)

    async def handle_sending_messages(
        self, peer_id: ID, stream: INetStream, queue: OutQueue
    ) -> None:
        """Write to one neighbour until its queue is closed or its stream breaks."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_watch, stream.muxed_stream, nursery.cancel_scope)
                with suppress(BaseLibp2pError):
                    while (batch := await queue.batch()) is not None:
                        await stream.muxed_stream.write(batch)
                nursery.cancel_scope.cancel()
        finally:
            if self.peers.get(peer_id) is stream:
                self._handle_dead_peer(peer_id)
            await stream.reset()


async def _watch(stream: YamuxStream, writing: trio.CancelScope) -> None:
    """Stop writing to a stream that the neighbour has reset: who has nothing to say to it would
    not notice, and be unheard from then on.

    Nothing is said on it in the other direction, but that it ends may be.
    """
    try:
        await stream.read()
    except MuxedStreamEOF:
        return
    except MuxedStreamError:
        await trio.sleep(_REOPENED_AFTER_S)
        writing.cancel()


def _fingerprint(message: rpc_pb2.Message) -> bytes:
    """What tells two messages with one id apart: Ed25519 signs one content in one way."""
    return bytes(message.signature[:_FINGERPRINT_BYTES])
