"""Peers' requests to us, over the stream each of them keeps."""

import trio
from libp2p.abc import INetStream
from libp2p.stream_muxer.exceptions import MuxedStreamError

from p2p.conduct import Conduct, Offence
from p2p.errors import BrokenFraming
from p2p.identity import public_key_of
from p2p.libp2p.streams import Frames, bytes_of, peer_of
from p2p.libp2p.yamux.stream import YamuxStream
from p2p.limits import Limits
from p2p.rates import Turnstile
from p2p.requests import Frame, FrameReader, Kind, cost_of, encode_frame
from p2p.serving import BUSY, RequestDesk


class Responder:
    """The stream handler of requests. Handlers run in `nursery`, whatever becomes of the stream."""

    def __init__(
        self, nursery: trio.Nursery, desk: RequestDesk, limits: Limits, conduct: Conduct
    ) -> None:
        self._nursery = nursery
        self._desk = desk
        self._limits = limits
        self._conduct = conduct
        self._serving = Turnstile(limits.requests_per_peer)
        self._streams: dict[str, YamuxStream] = {}

    async def handle(self, net_stream: INetStream) -> None:
        """Serve a peer's stream to its end. A newer stream of the same peer replaces it."""
        sender, stream = peer_of(net_stream), bytes_of(net_stream)
        if sender in self._streams:
            self._streams[sender].abandon("replaced")
        self._streams[sender] = stream
        try:
            await self._read(sender, stream)
        finally:
            if self._streams.get(sender) is stream:
                del self._streams[sender]

    async def _read(self, sender: str, stream: YamuxStream) -> None:
        peer = public_key_of(sender)
        reader = FrameReader(self._limits.max_frame_bytes)
        frames = Frames(stream, reader, self._limits.frame_timeout_s)
        while True:
            for frame in await frames.next():
                cost = cost_of(len(frame.payload))
                if not self._conduct.spend(peer, Offence.REQUEST_FLOOD, cost):
                    raise BrokenFraming("too many requests")
                await self._take(sender, stream, frame)

    async def _take(self, sender: str, stream: YamuxStream, frame: Frame) -> None:
        if frame.kind is not Kind.REQUEST:
            raise BrokenFraming("an answer nobody asked for")
        if self._serving.enter(sender):
            self._nursery.start_soon(self._answer, sender, stream, frame)
        else:
            await stream.write(encode_frame(Kind.REFUSAL, frame.request_id, BUSY))

    async def _answer(self, sender: str, stream: YamuxStream, frame: Frame) -> None:
        try:
            kind, payload = await self._desk.answer(sender, frame.payload)
            await stream.write(encode_frame(kind, frame.request_id, payload))
        except MuxedStreamError:
            return
        finally:
            self._serving.leave(sender)
