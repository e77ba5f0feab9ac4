"""The ping protocol every libp2p node answers (libp2p specification, "ping"): bytes are echoed.

libp2p's own handler takes the stream 32 bytes at a time, as fast as they come and on as many
streams as there are, which makes the cheapest flood there is. Here a peer has one stream of
pings, and what comes faster than pings do waits.
"""

from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol

from p2p.libp2p.streams import bytes_of, peer_of, read_within
from p2p.libp2p.yamux.stream import YamuxStream
from p2p.rates import Pacer

PING = TProtocol("/ipfs/ping/1.0.0")

_BYTES_PER_S = 32 * 1024
_READ_BYTES = 4 * 1024
_IDLE_S = 120.0


class Echo:
    """The stream handler of pings. A newer stream of a peer replaces its older one."""

    def __init__(self) -> None:
        self._streams: dict[str, YamuxStream] = {}

    async def handle(self, net_stream: INetStream) -> None:
        """Echo a peer's pings to the end of its stream. Raises MuxedStreamError."""
        peer_id, stream = peer_of(net_stream), bytes_of(net_stream)
        if peer_id in self._streams:
            self._streams[peer_id].abandon("replaced")
        self._streams[peer_id] = stream
        try:
            await self._echo(stream)
        finally:
            if self._streams.get(peer_id) is stream:
                del self._streams[peer_id]

    async def _echo(self, stream: YamuxStream) -> None:
        pace = Pacer(_BYTES_PER_S, _BYTES_PER_S)
        while True:
            data = await read_within(stream, _IDLE_S, _READ_BYTES)
            await pace.wait(len(data))
            await stream.write(data)
