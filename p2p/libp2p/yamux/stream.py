"""One Yamux stream.

Windows are counted in bytes in both directions. A writer spends the credit its peer gave and
waits when there is none; a reader gives credit back in steps of half a window, so that a small
message costs no extra frame. A peer that writes beyond its credit breaks the protocol.
"""

from types import TracebackType
from typing import Protocol, Self

import trio
from libp2p.abc import IMuxedStream
from libp2p.stream_muxer.exceptions import (
    MuxedStreamClosed,
    MuxedStreamEOF,
    MuxedStreamError,
    MuxedStreamReset,
)

from p2p.libp2p.secure import MAX_PLAIN_BYTES
from p2p.libp2p.yamux.frames import HEAD_BYTES, Flag, Kind, ProtocolViolation, encode, encode_data

WINDOW_BYTES = 256 * 1024
"""Credit of a new stream, fixed by the specification."""

_MAX_SEND_BYTES = MAX_PLAIN_BYTES - HEAD_BYTES
"""A data frame fills one Noise packet."""


class Connection(Protocol):
    """What a stream needs of the connection it belongs to."""

    @property
    def write_timeout_s(self) -> float: ...

    @property
    def has_room(self) -> bool: ...

    async def wait_for_room(self) -> None: ...

    def post(self, frame: bytes) -> None: ...

    def drop(self, stream: "YamuxStream") -> None: ...

    def get_remote_address(self) -> tuple[str, int] | None: ...


class YamuxStream(IMuxedStream):  # type: ignore[misc]
    """A two-way stream of bytes. One task reads at a time; any number may write."""

    def __init__(self, stream_id: int, connection: Connection) -> None:
        self.stream_id = stream_id
        self.muxed_conn = connection
        self.send_closed = False
        self.receive_closed = False
        self.reset_why: str | None = None
        self.closed_at_s: float | None = None
        self._conn = connection
        self._buffer = bytearray()
        self._window = WINDOW_BYTES
        self._credit_left = WINDOW_BYTES
        self._credit_due = 0
        self._send_credit = WINDOW_BYTES
        self._writing = trio.Lock()
        self._changed = trio.Event()

    @property
    def finished(self) -> bool:
        """Whether neither side will send any more."""
        return self.reset_why is not None or (self.send_closed and self.receive_closed)

    @property
    def unread(self) -> int:
        """Bytes that have arrived and nobody has read."""
        return len(self._buffer)

    async def read(self, n: int | None = None) -> bytes:
        """At most `n` bytes, as soon as there are any.

        Raises MuxedStreamEOF at the peer's end of the stream, MuxedStreamReset if it was reset
        or the connection died.
        """
        while not self._buffer:
            if self.reset_why is not None:
                raise MuxedStreamReset(self.reset_why)
            if self.receive_closed:
                raise MuxedStreamEOF("end of stream")
            await self._change()
        await trio.lowlevel.checkpoint_if_cancelled()
        return self._take(len(self._buffer) if n is None or n < 0 else n)

    async def write(self, data: bytes) -> None:
        """Send all of it, waiting for credit where needed.

        Raises MuxedStreamReset or MuxedStreamClosed. If it is cancelled half-way the stream is
        reset, because nobody could tell where the next message begins.
        """
        if self.write_nowait(data):
            return
        async with self._writing:
            sent = 0
            try:
                while sent < len(data):
                    await self._wait_to_send()
                    sent += self._send(data, sent)
            except BaseException as error:
                if sent or isinstance(error, MuxedStreamError):
                    self.abandon("a write was cut off")
                raise

    def write_nowait(self, data: bytes) -> bool:
        """Send all of it if that needs no waiting; whether it did."""
        self._check_writable()
        enough = len(data) <= self._send_credit and self._conn.has_room
        if not enough or self._writing.locked():
            return False
        sent = 0
        while sent < len(data):
            sent += self._send(data, sent)
        return True

    async def close(self) -> None:
        """We send no more; the peer may still."""
        if not self.send_closed and self.reset_why is None:
            self.send_closed = True
            self.closed_at_s = trio.current_time()
            self._conn.post(encode(Kind.WINDOW, Flag.FIN, self.stream_id, 0))
            self._drop_if_finished()

    async def reset(self) -> None:
        """End both directions at once."""
        self.abandon("reset by us")

    def abandon(self, why: str) -> None:
        """`reset` without waiting."""
        if not self.finished:
            self._conn.post(encode(Kind.WINDOW, Flag.RST, self.stream_id, 0))
            self.end(why)

    def widen(self, window_bytes: int) -> None:
        """Give the peer more credit, for a body that is read as it comes."""
        extra = window_bytes - self._window
        if extra > 0 and not self.finished:
            self._window = window_bytes
            self._give(extra)

    # What the connection tells a stream.

    def data_arrived(self, data: bytes) -> None:
        """Raises ProtocolViolation if the peer had no credit for it."""
        self._credit_left -= len(data)
        if self._credit_left < 0:
            raise ProtocolViolation("data beyond the window")
        if not self.receive_closed and self.reset_why is None:
            self._buffer += data
            self._wake()

    def credit_arrived(self, credit: int) -> None:
        self._send_credit += credit
        self._wake()

    def peer_closed(self) -> None:
        self.receive_closed = True
        self._wake()
        self._drop_if_finished()

    def end(self, why: str) -> None:
        """Both directions are over."""
        self.reset_why = why
        self._wake()
        self._conn.drop(self)

    def _take(self, n: int) -> bytes:
        data = bytes(memoryview(self._buffer)[:n])
        del self._buffer[:n]
        self._credit_due += len(data)
        if 2 * self._credit_due >= self._window and not self.finished and not self.receive_closed:
            self._give(self._credit_due)
            self._credit_due = 0
        return data

    def _give(self, credit: int) -> None:
        self._credit_left += credit
        self._conn.post(encode(Kind.WINDOW, 0, self.stream_id, credit))

    def _send(self, data: bytes, start: int) -> int:
        size = min(len(data) - start, self._send_credit, _MAX_SEND_BYTES)
        self._send_credit -= size
        self._conn.post(encode_data(self.stream_id, data[start : start + size]))
        return size

    async def _wait_to_send(self) -> None:
        with trio.move_on_after(self._conn.write_timeout_s):
            while True:
                self._check_writable()
                if not self._conn.has_room:
                    await self._conn.wait_for_room()
                elif self._send_credit:
                    return
                else:
                    await self._change()
        raise MuxedStreamError("the peer takes no data")

    def _check_writable(self) -> None:
        if self.reset_why is not None:
            raise MuxedStreamReset(self.reset_why)
        if self.send_closed:
            raise MuxedStreamClosed("closed for writing")

    async def _change(self) -> None:
        await self._changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    def _drop_if_finished(self) -> None:
        if self.finished:
            self._conn.drop(self)

    # What libp2p asks of a stream besides.

    def set_deadline(self, ttl: int) -> None:
        raise NotImplementedError

    def get_remote_address(self) -> tuple[str, int] | None:
        return self._conn.get_remote_address()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        await self.close()
