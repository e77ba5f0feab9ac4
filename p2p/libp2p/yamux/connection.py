"""The connection under all streams of one peer.

Three tasks: one reads and hands frames to their streams without ever waiting for a stream, one
writes whatever has been posted since its last write in a single piece, one pings. When any of
them ends, the connection is dead, and everybody who waits for one of its streams is told.
"""

import logging
import math
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import trio
from libp2p.abc import IMuxedConn, IMuxedStream
from libp2p.io.exceptions import IOException
from libp2p.peer.id import ID
from libp2p.stream_muxer.exceptions import MuxedConnUnavailable, MuxedStreamError

from p2p.conduct import Conduct, Offence, own_pace
from p2p.identity import public_key_of
from p2p.libp2p.hardening import shielded
from p2p.libp2p.secure import SecureChannel
from p2p.libp2p.yamux.frames import Flag, Frame, FrameParser, Kind, ProtocolViolation, encode
from p2p.libp2p.yamux.stream import YamuxStream
from p2p.limits import Limits

logger = logging.getLogger(__name__)

MAX_STREAMS = 256
"""Streams at a time that one side may have opened; the peer's next one is reset."""

_HIGH_WATER_BYTES = 256 * 1024
"""Posted and not yet written: beyond this, streams wait before they send data."""
_MAX_POSTED_BYTES = 4 * 1024 * 1024
"""Beyond this the peer makes us answer and does not read the answers."""
_LITTLE_BYTES = 4 * 1024
"""Unread on one stream: no reason to look at all of them."""
_SILENT_PINGS = 3
_LINGER_S = 60.0
_GOODBYE_S = 0.5


class Yamux(IMuxedConn):  # type: ignore[misc]
    """A multiplexed connection. `start` runs it until it is dead.

    `conduct` is replaced by the one that is kept for all peers before that.
    """

    def __init__(self, channel: SecureChannel, peer_id: ID, limits: Limits) -> None:
        self.peer_id = peer_id
        self.conduct = Conduct(limits, Counter())
        self.event_started = trio.Event()
        self.event_closed = trio.Event()
        self.on_close: Callable[[], Awaitable[None]] | None = None
        self.write_timeout_s = limits.write_timeout_s
        self._peer = public_key_of(str(peer_id))
        self._keepalive_s = limits.keepalive_s
        self._max_unread_bytes = limits.max_unread_bytes
        self._pace = own_pace(limits.stream_rate_per_s, limits.stream_burst)
        self._channel = channel
        self._streams: dict[int, YamuxStream] = {}
        self._next_id = 1 if channel.is_initiator else 2
        self._accepted, self._accepting = trio.open_memory_channel[YamuxStream](MAX_STREAMS)
        self._posted: list[bytes] = []
        self._posted_bytes = 0
        self._writing_since_s = math.inf
        self._to_write = trio.Event()
        self._written = trio.Event()
        self._silence = 0
        self._tasks = trio.CancelScope()

    async def start(self) -> None:
        """Run until the connection is dead. Raises nothing: its end is an event, not an error."""
        try:
            with self._tasks:
                await self._run()
        except Exception as error:
            # The outermost guard of a connection: whatever a peer makes of it ends it, and
            # nothing else.
            logger.debug("connection to %s ended: %r", self.peer_id, error)
        finally:
            self.event_started.set()
            self._die()
            with trio.CancelScope(shield=True):
                await self._channel.close()
                if self.on_close is not None:
                    await self.on_close()

    async def close(self) -> None:
        """Tell the peer, if it listens, and end the connection."""
        if not self.event_closed.is_set():
            self.post(encode(Kind.GO_AWAY, 0, 0, 0))
            with shielded(_GOODBYE_S):
                while (self._posted or self._busy) and not self.event_closed.is_set():
                    await self._written.wait()
            self._die()

    def abort(self) -> None:
        """End the connection without a word."""
        self._die()

    @property
    def is_initiator(self) -> bool:
        return bool(self._channel.is_initiator)

    @property
    def is_established(self) -> bool:
        return self.event_started.is_set() and not self.event_closed.is_set()

    @property
    def is_closed(self) -> bool:
        return self.event_closed.is_set()

    @property
    def streams(self) -> int:
        """How many streams are open, by either side."""
        return len(self._streams)

    async def open_stream(self) -> IMuxedStream:
        """A new stream. Raises MuxedStreamError if the connection is dead or has too many.

        Waits while we are over the rate that peers let us open streams at.
        """
        await self._pace.wait()
        if self.event_closed.is_set() or self._count(self._next_id % 2) >= MAX_STREAMS:
            raise MuxedStreamError("the connection is dead or full")
        stream = self._add(self._next_id)
        self._next_id += 2
        self.post(encode(Kind.WINDOW, Flag.SYN, stream.stream_id, 0))
        return stream

    async def accept_stream(self) -> IMuxedStream:
        """The next stream the peer has opened. Raises MuxedConnUnavailable at the end."""
        try:
            return await self._accepting.receive()
        except trio.EndOfChannel as error:
            raise MuxedConnUnavailable("the connection is dead") from error

    # What a stream needs of its connection.

    @property
    def has_room(self) -> bool:
        return self._posted_bytes < _HIGH_WATER_BYTES

    async def wait_for_room(self) -> None:
        while not self.has_room and not self.event_closed.is_set():
            await self._written.wait()

    def post(self, frame: bytes) -> None:
        self._posted.append(frame)
        self._posted_bytes += len(frame)
        self._to_write.set()

    def drop(self, stream: YamuxStream) -> None:
        self._streams.pop(stream.stream_id, None)

    # The tasks.

    async def _run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write)
            nursery.start_soon(self._keep_alive)
            self.event_started.set()
            await self._read()
            nursery.cancel_scope.cancel()

    async def _read(self) -> None:
        parser = FrameParser()
        try:
            while data := await self._channel.receive():
                self._silence = 0
                frames = 0
                for frame in parser.feed(data):
                    self._take(frame)
                    frames += 1
                self._spend(Offence.FRAME_FLOOD, frames)
                if self._posted_bytes > _MAX_POSTED_BYTES:
                    raise ProtocolViolation("answers are not read")
        except ProtocolViolation:
            self.conduct.blame(self._peer, Offence.PROTOCOL)
            raise

    def _spend(self, flood: Offence, cost: float = 1.0) -> None:
        if not self.conduct.spend(self._peer, flood, cost):
            raise ProtocolViolation(flood)

    async def _write(self) -> None:
        while True:
            if not self._posted:
                self._to_write = trio.Event()
                await self._to_write.wait()
            data = b"".join(self._posted)
            self._posted.clear()
            self._posted_bytes = 0
            self._writing_since_s = trio.current_time()
            await self._channel.send(data)
            self._writing_since_s = math.inf
            self._written.set()
            self._written = trio.Event()

    async def _keep_alive(self) -> None:
        for ping in range(1 << 32):
            await trio.sleep(self._keepalive_s)
            self._silence += 1
            if self._silence > _SILENT_PINGS or self._is_stuck:
                raise IOException("the peer is silent")
            self.post(encode(Kind.PING, Flag.SYN, 0, ping))
            self._sweep()

    @property
    def _busy(self) -> bool:
        return self._writing_since_s < math.inf

    @property
    def _is_stuck(self) -> bool:
        return trio.current_time() - self._writing_since_s > self.write_timeout_s

    def _sweep(self) -> None:
        """Give up streams that we closed and the peer does not."""
        before_s = trio.current_time() - _LINGER_S
        for stream in tuple(self._streams.values()):
            if stream.closed_at_s is not None and stream.closed_at_s < before_s:
                stream.abandon("the peer never closed it")

    def _take(self, frame: Frame) -> None:
        if frame.kind == Kind.PING:
            if frame.flags & Flag.SYN:
                self.post(encode(Kind.PING, Flag.ACK, 0, frame.length))
        elif frame.kind == Kind.GO_AWAY:
            raise IOException("the peer went away")
        else:
            self._take_for_stream(frame)

    def _take_for_stream(self, frame: Frame) -> None:
        if frame.flags & Flag.SYN:
            self._accept(frame.stream_id)
        stream = self._streams.get(frame.stream_id)
        if stream is None:
            return
        if frame.kind == Kind.DATA:
            stream.data_arrived(frame.body)
            if stream.unread > _LITTLE_BYTES:
                self._check_unread()
        elif frame.length:
            stream.credit_arrived(frame.length)
        if frame.flags & Flag.RST:
            stream.end("reset by the peer")
        elif frame.flags & Flag.FIN:
            stream.peer_closed()

    def _check_unread(self) -> None:
        parity = self._their_parity
        theirs = (stream for number, stream in self._streams.items() if number % 2 == parity)
        if sum(stream.unread for stream in theirs) > self._max_unread_bytes:
            self.conduct.cut_off(self._peer, Offence.UNREAD_FLOOD)
            raise ProtocolViolation(Offence.UNREAD_FLOOD)

    @property
    def _their_parity(self) -> int:
        return 1 - self._next_id % 2

    def _accept(self, stream_id: int) -> None:
        parity = self._their_parity
        if stream_id == 0 or stream_id % 2 != parity or stream_id in self._streams:
            raise ProtocolViolation(f"stream id {stream_id}")
        self._spend(Offence.STREAM_FLOOD)
        if self._count(parity) >= MAX_STREAMS:
            self.post(encode(Kind.WINDOW, Flag.RST, stream_id, 0))
            return
        stream = self._add(stream_id)
        self.post(encode(Kind.WINDOW, Flag.ACK, stream_id, 0))
        try:
            self._accepted.send_nowait(stream)
        except (trio.WouldBlock, trio.BrokenResourceError):
            stream.abandon("nobody accepts it")

    def _add(self, stream_id: int) -> YamuxStream:
        stream = self._streams[stream_id] = YamuxStream(stream_id, self)
        return stream

    def _count(self, parity: int) -> int:
        return sum(stream_id % 2 == parity for stream_id in self._streams)

    def _die(self) -> None:
        if self.event_closed.is_set():
            return
        self.event_closed.set()
        for stream in tuple(self._streams.values()):
            stream.end("the connection is dead")
        self._accepted.close()
        self._written.set()
        self._tasks.cancel()

    # What libp2p asks of a connection besides.

    def get_transport_addresses(self) -> Any:
        return self._channel.get_transport_addresses()

    def get_connection_type(self) -> Any:
        return self._channel.get_connection_type()

    def get_remote_address(self) -> tuple[str, int] | None:
        return self._channel.get_remote_address()
