"""Our requests to one peer, over one kept stream.

The stream is opened by the first request and again by the first one after it was lost. What is
outstanding when it is lost fails at once: nobody can tell whether the peer has acted on it.
"""

import trio
from libp2p.abc import INetStream
from libp2p.stream_muxer.exceptions import MuxedStreamError

from p2p.conduct import own_pace
from p2p.errors import BrokenFraming, MessageTooLarge, PeerUnreachable, RequestTimeout
from p2p.libp2p.hardening import end_stream
from p2p.libp2p.host import GuardedHost
from p2p.libp2p.streams import REQUEST, Frames, bytes_of, open_stream
from p2p.limits import Limits
from p2p.messages import Message, encode
from p2p.outstanding import Outstanding
from p2p.requests import FrameReader, Kind, cost_of, encode_frame


class Requester:
    """Asks one peer."""

    def __init__(
        self, host: GuardedHost, nursery: trio.Nursery, peer_id: str, limits: Limits
    ) -> None:
        self._host = host
        self._nursery = nursery
        self._peer_id = peer_id
        self._limits = limits
        self._opening = trio.Lock()
        self._line: _Line | None = None
        self._pace = own_pace(limits.request_rate_per_s, limits.request_burst)

    async def request(self, message: Message, timeout_s: float) -> Message:
        """Ask and wait. Raises what `Network.request` raises."""
        payload = encode(message)
        if len(payload) > self._limits.max_frame_bytes:
            raise MessageTooLarge(len(payload), self._limits.max_frame_bytes)
        with trio.move_on_after(timeout_s):
            await self._pace.wait(cost_of(len(payload)))
            line = self._line or await self._open()
            with line.outstanding.opened() as request_id:
                await line.send(encode_frame(Kind.REQUEST, request_id, payload))
                return await line.outstanding.wait(request_id)
        raise RequestTimeout(self._peer_id, timeout_s)

    async def _open(self) -> "_Line":
        async with self._opening:
            if self._line is None:
                stream = await open_stream(self._host, self._peer_id, REQUEST)
                self._line = _Line(stream, self._peer_id, self._limits)
                self._nursery.start_soon(self._serve, self._line)
            return self._line

    async def _serve(self, line: "_Line") -> None:
        try:
            await line.run()
        finally:
            self._line = None
            await line.close()


class _Line:
    def __init__(self, stream: INetStream, peer_id: str, limits: Limits) -> None:
        self.outstanding = Outstanding(peer_id)
        self._peer_id = peer_id
        self._net_stream = stream
        self._stream = bytes_of(stream)
        self._limits = limits

    async def send(self, frame: bytes) -> None:
        try:
            await self._stream.write(frame)
        except MuxedStreamError as error:
            raise PeerUnreachable(self._peer_id, str(error)) from error

    async def run(self) -> None:
        """Hand out answers until the stream is lost."""
        reader = FrameReader(self._limits.max_frame_bytes)
        frames = Frames(self._stream, reader, self._limits.frame_timeout_s)
        try:
            while True:
                for frame in await frames.next():
                    self.outstanding.answer(frame.request_id, frame.kind, frame.payload)
        except (MuxedStreamError, BrokenFraming) as error:
            self.outstanding.fail(str(error))

    async def close(self) -> None:
        """No answer will come any more."""
        self.outstanding.fail("the stream was lost")
        await end_stream(self._net_stream)
