"""Connections in and out, and nothing libp2p would do on its own account.

Of libp2p's swarm this leaves the upgrade of a socket, the list of connections and the events.
Left out are: the auto-connector, which dials every address it has heard of; the pruner; dialling
on behalf of `new_stream` (only `redial` dials); and the inbound handler, whose limit counts
every connection ever accepted and not those that are open.
"""

import logging
from collections import Counter

import trio
from libp2p.abc import IMuxedConn, INetConn
from libp2p.crypto.keys import KeyPair
from libp2p.network.config import ConnectionConfig, RetryConfig
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.network.exceptions import SwarmException
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.peer.peerstore import PeerStore
from libp2p.rcmgr import Direction
from multiaddr import Multiaddr

from p2p.conduct import Conduct
from p2p.identity import public_key_of
from p2p.libp2p.dialling import Dialler
from p2p.libp2p.doorway import Doorway, Handshakes, Width
from p2p.libp2p.sockets import TcpStream
from p2p.libp2p.upgrade import Upgrader
from p2p.libp2p.websocket import accept_carrier
from p2p.limits import Limits

logger = logging.getLogger(__name__)


class GuardedSwarm(Swarm):  # type: ignore[misc]
    """The connections of one node."""

    def __init__(self, key_pair: KeyPair, limits: Limits, conduct: Conduct | None = None) -> None:
        peer_id = ID.from_pubkey(key_pair.public_key)
        peerstore = PeerStore()
        peerstore.add_key_pair(peer_id, key_pair)
        super().__init__(
            peer_id,
            peerstore,
            Upgrader(key_pair, limits),
            [Dialler()],
            RetryConfig(max_retries=0),
            _connection_config(limits),
        )
        self.conduct = conduct or Conduct(limits, Counter())
        self.conduct.hang_up = self._hang_up
        self._handshakes = Handshakes(limits)
        self._inbound = Doorway(
            Width(limits.inbound_per_address, limits.inbound_per_prefix, limits.inbound_connections)
        )

    async def run(self) -> None:
        """Nothing to do but exist."""
        await self.manager.wait_finished()

    async def accept(self, stream: trio.SocketStream) -> None:
        """Serve an inbound connection until it ends. Raises nothing."""
        tcp = TcpStream(stream)
        remote = tcp.get_remote_address()
        if remote is None:
            return
        try:
            muxed = await self._shake_hands(tcp, remote[0])
        except Exception as error:
            # The outermost guard against whoever connects to the port.
            logger.debug("inbound connection from %s: %r", remote, error)
            return
        try:
            await muxed.event_closed.wait()
        finally:
            self._inbound.leave(remote[0])

    async def _shake_hands(self, tcp: TcpStream, host: str) -> IMuxedConn:
        if not self._handshakes.enter(host):
            raise SwarmException("too many handshakes")
        try:
            with trio.fail_after(self.connection_config.inbound_upgrade_timeout):
                carrier = await accept_carrier(tcp)
            return await self.upgrade_inbound_raw_conn(RawConnection(carrier, False), _ANYWHERE)
        finally:
            self._handshakes.leave(host)

    async def add_conn(self, muxed_conn: IMuxedConn, direction: str = "unknown") -> INetConn:
        """Count a new connection in, if there is room for it. Raises SwarmException."""
        peer = public_key_of(str(muxed_conn.peer_id))
        if self.conduct.refuses(peer):
            raise SwarmException("the peer is refused for a time")
        muxed_conn.conduct = self.conduct
        if direction != "inbound":
            return await super().add_conn(muxed_conn, direction)
        remote = muxed_conn.get_remote_address()
        if remote is None or not self._inbound.enter(remote[0]):
            raise SwarmException("too many inbound connections")
        try:
            return await self._replace(muxed_conn)
        except BaseException:
            self._inbound.leave(remote[0])
            raise

    def _hang_up(self, peer_id: str) -> None:
        for connection in self.get_connections(ID.from_string(peer_id)):
            connection.muxed_conn.abort()

    async def _replace(self, muxed_conn: IMuxedConn) -> INetConn:
        """Add an inbound connection in place of an older one of the same peer.

        A peer dials another only while it sees no connection, so its second one means that the
        first is dead on its side: it crashed, or its network changed.
        """
        connections = self.get_connections(muxed_conn.peer_id)
        stale = [c for c in connections if c.direction == Direction.INBOUND]
        added = await super().add_conn(muxed_conn, "inbound")
        for old in stale:
            self.manager.run_task(old.close)
        return added

    async def dial_peer(self, peer_id: ID) -> list[INetConn]:
        """Never dial a peer because somebody wants a stream to it."""
        raise SwarmException(f"{peer_id} is not connected")

    async def notify_disconnected(self, conn: INetConn) -> None:
        """Tell who listens; do not dial anybody instead."""
        await self._notify("disconnected", conn)

    def _schedule_prune(self) -> None:
        """Connections beyond `max_connections` are refused, none is pruned for another."""


_ANYWHERE = Multiaddr("/ip4/0.0.0.0/tcp/0")
"""Where a connection came in; libp2p only logs it."""


def _connection_config(limits: Limits) -> ConnectionConfig:
    return ConnectionConfig(
        max_connections=limits.max_connections,
        min_connections=0,
        low_watermark=0,
        high_watermark=limits.max_connections,
        max_connections_per_peer=1,
        dial_timeout=limits.dial_timeout_s,
        inbound_upgrade_timeout=limits.handshake_timeout_s,
        outbound_upgrade_timeout=limits.handshake_timeout_s,
    )
