"""The real network: what `p2p.network.Network` promises, over libp2p."""

import math
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import trio
from libp2p.abc import INetConn, INetwork, INotifee
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.exceptions import BaseLibp2pError
from libp2p.peer.id import ID
from multiaddr import Multiaddr

from p2p.conduct import Conduct
from p2p.errors import EnvelopeRefused, PeerUnreachable, RequestTimeout
from p2p.gatekeeper import Gatekeeper
from p2p.identity import Identity, public_key_of
from p2p.libp2p.addresses import Endpoint, parse_peer
from p2p.libp2p.bulk import BulkClient, BulkServer
from p2p.libp2p.hardening import Supervisor, shielded
from p2p.libp2p.host import GuardedHost
from p2p.libp2p.listening import bind
from p2p.libp2p.mesh import BoundedGossipSub
from p2p.libp2p.ping import PING, Echo
from p2p.libp2p.pubsub import SafePubsub
from p2p.libp2p.requester import Requester
from p2p.libp2p.responder import Responder
from p2p.libp2p.streams import BULK, REQUEST
from p2p.libp2p.swarm import GuardedSwarm
from p2p.limits import Limits
from p2p.local import pour, request_locally
from p2p.messages import M, Message
from p2p.network import BulkHandler, BulkInfo, Network, PeerEvent, PeerInfo, Received, Sink
from p2p.presence import Presence
from p2p.redial import Redialer
from p2p.serving import BulkDesk, RequestDesk
from p2p.subscriptions import Topics
from p2p.transfer import Ask

_CLOSE_S = 2.0


def wall_clock_ms() -> int:
    """The time of day as milliseconds of 1970."""
    return time.time_ns() // 1_000_000


@asynccontextmanager
async def open_libp2p_network(
    identity: Identity,
    chain_id: str,
    listen: Sequence[str],
    bootstrap: Sequence[str] = (),
    limits: Limits | None = None,
) -> AsyncGenerator[Network]:
    """A network that listens on the multiaddrs `listen` and keeps `bootstrap` connected.

    Raises BadAddress, AddressInUse, CannotListen.
    """
    limits = limits or Limits()
    for address in bootstrap:
        parse_peer(address)
    listening = await bind(listen)
    async with trio.open_nursery() as nursery:
        network = Libp2pNetwork(nursery, identity, chain_id, listening.addresses, limits)
        try:
            await network.start(listening.listeners)
            for address in bootstrap:
                nursery.start_soon(network.connect, address)
            yield network
        finally:
            with shielded(_CLOSE_S):
                await network.close()
            listening.close()
            nursery.cancel_scope.cancel()


class Libp2pNetwork:
    """A `Network` over libp2p; see `p2p/network.py` for what its methods promise."""

    def __init__(
        self,
        nursery: trio.Nursery,
        identity: Identity,
        chain_id: str,
        addresses: Sequence[str],
        limits: Limits,
    ) -> None:
        self.peer_id = identity.peer_id
        self.addresses = tuple(f"{address}/p2p/{self.peer_id}" for address in addresses)
        self.counters: Counter[str] = Counter()
        self._nursery = nursery
        self._limits = limits
        self._topic_prefix = f"/tmnode/{chain_id}/"
        self._conduct = Conduct(limits, self.counters)
        self._gate = Gatekeeper(
            identity, chain_id, limits, wall_clock_ms, self.counters, self._conduct
        )
        self._topics: Topics[Received] = Topics(
            limits.subscription_queue, lambda: self.counters.update(gossip_dropped=1)
        )
        self._presence = Presence(limits.event_queue, self.counters)
        self._redialer = Redialer(nursery, self._dial, self._presence, limits)
        self._swarm = GuardedSwarm(create_new_key_pair(identity.seed), limits, self._conduct)
        self._host = GuardedHost(self._swarm, addresses, limits)
        self._router = BoundedGossipSub(self.counters)
        self._pubsub = SafePubsub(
            self._host, self._router, self._topic_prefix, self._accept, limits, self._conduct
        )
        self._door = trio.CancelScope()
        self._requesters: dict[str, Requester] = {}
        self._desk = RequestDesk(limits)
        self._bulk_desk = BulkDesk(limits)
        self._bulk = BulkClient(self._host, limits)
        self._host.set_stream_handler(PING, Echo().handle)
        responder = Responder(nursery, self._desk, limits, self._conduct)
        self._host.set_stream_handler(REQUEST, responder.handle)
        self._host.set_stream_handler(BULK, BulkServer(self._bulk_desk, limits).handle)
        self._swarm.register_notifee(_Doorman(self))

    async def start(self, listeners: Sequence[trio.SocketListener]) -> None:
        """Run libp2p's services and accept connections."""
        for service in (self._swarm, self._router, self._pubsub):
            supervisor = Supervisor(service)
            self._nursery.start_soon(supervisor.run)
            await supervisor.wait_started()
        await self._pubsub.wait_until_ready()
        if listeners:
            self._nursery.start_soon(self._listen, listeners)

    async def close(self) -> None:
        """Accept nobody any more and say goodbye to all."""
        self._door.cancel()
        async with trio.open_nursery() as nursery:
            for connection in self._swarm.get_connections():
                nursery.start_soon(connection.close)
        await self._host.close()

    async def _listen(self, listeners: Sequence[trio.SocketListener]) -> None:
        with self._door:
            await trio.serve_listeners(
                self._swarm.accept, list(listeners), handler_nursery=self._nursery
            )

    def peers(self) -> tuple[PeerInfo, ...]:
        return tuple(
            PeerInfo(peer_id, self._redialer.addresses(peer_id) or self._seen_at(peer_id))
            for peer_id in self._presence.peers
        )

    def connections(self) -> AbstractAsyncContextManager[trio.MemoryReceiveChannel[PeerEvent]]:
        return self._presence.events()

    async def connect(self, address: str, *, for_s: float = math.inf) -> None:
        peer_id, _ = parse_peer(address)
        if peer_id != self.peer_id:
            await self._redialer.want(peer_id, address, for_s)

    async def publish(self, topic: str, message: Message) -> None:
        await self._gate.pace()
        await self._pubsub.publish(self._topic_prefix + topic, self._gate.seal(topic, message))

    @asynccontextmanager
    async def subscribe(self, topic: str) -> AsyncGenerator[trio.MemoryReceiveChannel[Received]]:
        name = self._topic_prefix + topic
        try:
            async with self._topics.listen(topic) as channel:
                await self._pubsub.subscribe(name)
                yield channel
        finally:
            if topic not in self._topics:
                with shielded(_CLOSE_S):
                    await self._pubsub.unsubscribe(name)

    def serve(self, request_type: type[M], handler: Callable[[str, M], Awaitable[Message]]) -> None:
        self._desk.serve(request_type, handler)

    async def request(self, peer_id: str, message: Message, *, timeout_s: float) -> Message:
        if peer_id == self.peer_id:
            return await request_locally(self._desk, peer_id, message, timeout_s)
        if peer_id not in self._presence:
            raise PeerUnreachable(peer_id, "not connected")
        if peer_id not in self._requesters:
            self._requesters[peer_id] = Requester(self._host, self._nursery, peer_id, self._limits)
        return await self._requesters[peer_id].request(message, timeout_s)

    def serve_bulk(self, name: str, handler: BulkHandler) -> None:
        self._bulk_desk.serve(name, handler)

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
                return await pour(await self._bulk_desk.find(peer_id, ask), sink, max_bytes)
            return await self._bulk.fetch(peer_id, ask, sink, max_bytes)
        raise RequestTimeout(peer_id, timeout_s)

    def joined(self, peer_id: str) -> None:
        """There is a new connection to the peer."""
        self._presence.joined(peer_id)

    def left(self, peer_id: str) -> None:
        """A connection to the peer has ended."""
        self._pubsub.connection_lost(ID.from_string(peer_id))
        self._presence.left(peer_id)
        if peer_id not in self._presence:
            self._requesters.pop(peer_id, None)
            self._bulk.forget(peer_id)

    def _accept(self, topic: str, data: bytes, signer: bytes) -> bool:
        try:
            received = self._gate.admit(topic, data, signer)
        except EnvelopeRefused:
            return False
        self._topics.deliver(topic, received)
        return True

    async def _dial(self, peer_id: str, address: str) -> None:
        if self._door.cancel_called:
            raise PeerUnreachable(peer_id, "the network is closing")
        if self._conduct.refuses(public_key_of(peer_id)):
            raise PeerUnreachable(peer_id, "the peer is refused for a time")
        try:
            await self._swarm.dial_addr(Multiaddr(address), ID.from_string(peer_id))
        except (BaseLibp2pError, OSError) as error:
            raise PeerUnreachable(peer_id, str(error)) from error

    def _seen_at(self, peer_id: str) -> tuple[str, ...]:
        connections = self._swarm.get_connections(ID.from_string(peer_id))
        remotes = [connection.muxed_conn.get_remote_address() for connection in connections]
        return tuple(
            str(Endpoint("ip6" if ":" in host else "ip4", host, port, peer_id))
            for host, port in filter(None, remotes)
        )


class _Doorman(INotifee):  # type: ignore[misc]
    """Tells the network who comes and goes."""

    def __init__(self, network: Libp2pNetwork) -> None:
        self._network = network
        self._inside: set[INetConn] = set()

    async def connected(self, _network: INetwork, conn: INetConn) -> None:
        if not conn.is_closed:
            self._inside.add(conn)
            self._network.joined(str(conn.muxed_conn.peer_id))

    async def disconnected(self, _network: INetwork, conn: INetConn) -> None:
        if conn in self._inside:
            self._inside.discard(conn)
            self._network.left(str(conn.muxed_conn.peer_id))

    async def opened_stream(self, network: INetwork, stream: object) -> None: ...

    async def closed_stream(self, network: INetwork, stream: object) -> None: ...

    async def listen(self, network: INetwork, multiaddr: object) -> None: ...

    async def listen_close(self, network: INetwork, multiaddr: object) -> None: ...
