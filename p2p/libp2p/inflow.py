"""Neighbours' gossip streams, read no faster than gossip may come.

Each RPC is paid for by its neighbour before it is decoded: one token for each thing in it and
for every 4 KiB. A neighbour that cannot pay is cut off. Beside it stands a budget for each IP
address, so that many identities together are worth no more than a few: what is over that is
dropped unread, and nobody is blamed for it.
"""

from collections import Counter
from collections.abc import Awaitable, Callable

import trio
from libp2p.abc import INetStream
from libp2p.peer.id import ID
from libp2p.pubsub.pb import rpc_pb2

from p2p.conduct import Conduct, Offence
from p2p.errors import BrokenFraming
from p2p.identity import public_key_of
from p2p.libp2p.doorway import address_of
from p2p.libp2p.gossip import RpcReader, cost_of
from p2p.libp2p.streams import Frames, bytes_of
from p2p.libp2p.yamux.stream import YamuxStream
from p2p.limits import Limits
from p2p.rates import RateTable

Take = Callable[[ID, rpc_pb2.RPC], Awaitable[None]]
"""`take(neighbour, rpc)` acts on what a neighbour says."""


class Inflow:
    """The stream handler of gossip. A newer stream of a neighbour replaces its older one."""

    def __init__(
        self, limits: Limits, conduct: Conduct, counters: Counter[str], take: Take
    ) -> None:
        self._limits = limits
        self._conduct = conduct
        self._counters = counters
        self._take = take
        self._streams: dict[ID, YamuxStream] = {}
        self._addresses = RateTable(
            limits.neighbour_rate_per_s * limits.neighbours_per_address,
            limits.neighbour_burst * limits.neighbours_per_address,
            limits.max_connections,
        )

    async def handle(self, net_stream: INetStream) -> None:
        """Read a neighbour's stream to its end, which is an error, whichever it is."""
        neighbour, stream = net_stream.muxed_conn.peer_id, bytes_of(net_stream)
        if neighbour in self._streams:
            self._streams[neighbour].abandon("replaced")
        self._streams[neighbour] = stream
        try:
            await self._read(neighbour, stream)
        finally:
            if self._streams.get(neighbour) is stream:
                del self._streams[neighbour]

    async def _read(self, neighbour: ID, stream: YamuxStream) -> None:
        peer = public_key_of(str(neighbour))
        address = _address(stream)
        frames = Frames(stream, RpcReader(), self._limits.frame_timeout_s)
        while True:
            for body in await frames.next():
                if self._is_paid_for(peer, address, body):
                    await self._take(neighbour, rpc_pb2.RPC.FromString(body))
                await trio.lowlevel.checkpoint()

    def _is_paid_for(self, peer: bytes, address: bytes, body: bytes) -> bool:
        """Raises BrokenFraming for what is no RPC, or more than the neighbour may send."""
        cost = cost_of(body)
        if not self._conduct.spend(peer, Offence.GOSSIP_FLOOD, cost):
            raise BrokenFraming("too much gossip")
        if self._addresses.take(address, trio.current_time(), cost):
            return True
        self._counters["gossip_dropped_unread"] += 1
        return False


def _address(stream: YamuxStream) -> bytes:
    remote = stream.get_remote_address()
    return address_of(remote[0]).encode() if remote else b""
