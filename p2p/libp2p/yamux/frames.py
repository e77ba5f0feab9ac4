"""Yamux frames: bytes in, frames out.

    version u8 (0) │ kind u8 │ flags u16 │ stream id u32 │ length u32 │ body (data frames only)

Integers are big-endian. `length` is the size of the body, the credit of a window update, the
value of a ping or the code of a go-away.
"""

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Final, NamedTuple

_HEAD = struct.Struct(">BBHII")
HEAD_BYTES = _HEAD.size
MAX_BODY_BYTES = 1024 * 1024
"""Largest data frame accepted; implementations in use send 16 to 64 KiB."""


class Kind(IntEnum):
    """What a frame is for."""

    DATA = 0
    WINDOW = 1
    PING = 2
    GO_AWAY = 3


class Flag:
    """What it means for its stream, or for the ping. Plain ints: they are tested per frame."""

    SYN: Final = 1
    ACK: Final = 2
    FIN: Final = 4
    RST: Final = 8


class Frame(NamedTuple):
    """A frame that has arrived."""

    kind: int
    flags: int
    stream_id: int
    length: int
    body: bytes


class ProtocolViolation(Exception):
    """The peer does not speak Yamux, or breaks its rules: the connection must end."""


def encode(kind: Kind, flags: int, stream_id: int, length: int) -> bytes:
    """A frame without a body."""
    return _HEAD.pack(0, kind, flags, stream_id, length)


def encode_data(stream_id: int, body: bytes) -> bytes:
    """A data frame."""
    return _HEAD.pack(0, Kind.DATA, 0, stream_id, len(body)) + body


class FrameParser:
    """Cuts the bytes of a connection into frames, however they arrive."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that `data` completes. Raises ProtocolViolation."""
        self._buffer += data
        start = 0
        while len(self._buffer) - start >= HEAD_BYTES:
            version, kind, flags, stream_id, length = _HEAD.unpack_from(self._buffer, start)
            if version or kind > Kind.GO_AWAY:
                raise ProtocolViolation(f"version {version}, kind {kind}")
            end = start + HEAD_BYTES + (length if kind == Kind.DATA else 0)
            if end - start > HEAD_BYTES + MAX_BODY_BYTES:
                raise ProtocolViolation(f"data frame of {length} bytes")
            if len(self._buffer) < end:
                break
            body = bytes(memoryview(self._buffer)[start + HEAD_BYTES : end])
            yield Frame(kind, flags, stream_id, length, body)
            start = end
        del self._buffer[:start]
