"""Frames of requests and responses, many of which share one stream.

    length u32 │ kind u8 │ id u64 │ payload …

`length` counts what follows it; integers are big-endian. The requester chooses the id, the
answer repeats it. Payloads are messages (`messages.encode`), a refusal's is a msgpack array
`[code, text]`. Nothing here does I/O: bytes go in, frames come out.
"""

import struct
from enum import IntEnum
from typing import NamedTuple

import msgspec

from p2p.errors import BrokenFraming, RequestRefused

_HEAD = struct.Struct(">IBQ")
_LENGTH = struct.Struct(">I")
_INSIDE_BYTES = _HEAD.size - _LENGTH.size
FRAME_OVERHEAD_BYTES = _HEAD.size

_BYTES_A_TOKEN = 64 * 1024
_MAX_CODE_CHARACTERS = 64
_MAX_TEXT_CHARACTERS = 1024


class Kind(IntEnum):
    """What a frame carries."""

    REQUEST = 0
    RESPONSE = 1
    REFUSAL = 2


class Frame(NamedTuple):
    """One request or answer."""

    kind: Kind
    request_id: int
    payload: bytes


def cost_of(payload_bytes: int) -> float:
    """What a request costs its sender: one, and one for every 64 KiB."""
    return 1 + payload_bytes // _BYTES_A_TOKEN


def encode_frame(kind: Kind, request_id: int, payload: bytes) -> bytes:
    """The frame's bytes."""
    return _HEAD.pack(_INSIDE_BYTES + len(payload), kind, request_id) + payload


class FrameReader:
    """Cuts a stream of bytes into frames, however they were chopped up on the way.

    `max_bytes` bounds a frame's payload; a longer one is refused by its length alone, before
    any of it is kept.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._buffer = bytearray()

    @property
    def partial(self) -> bool:
        """Whether a frame has begun and is not complete."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that `data` completes. Raises BrokenFraming; the reader is useless then."""
        self._buffer += data
        frames = []
        start = 0
        while (end := self._end_of_frame(start)) is not None:
            frames.append(self._cut(start, end))
            start = end
        del self._buffer[:start]
        return frames

    def _end_of_frame(self, start: int) -> int | None:
        if len(self._buffer) - start < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._buffer, start)
        if not _INSIDE_BYTES <= length <= _INSIDE_BYTES + self._max_bytes:
            raise BrokenFraming(f"frame of {length} bytes")
        end = start + _LENGTH.size + int(length)
        return end if len(self._buffer) >= end else None

    def _cut(self, start: int, end: int) -> Frame:
        _, kind, request_id = _HEAD.unpack_from(self._buffer, start)
        if kind not in _KINDS:
            raise BrokenFraming(f"frame of kind {kind}")
        payload = bytes(memoryview(self._buffer)[start + _HEAD.size : end])
        return Frame(Kind(kind), request_id, payload)


_KINDS = frozenset(Kind)


class _RefusalBody(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    code: str
    text: str


_refusals = msgspec.msgpack.Decoder(_RefusalBody)


def encode_refusal(refusal: RequestRefused) -> bytes:
    """The payload that says why a request is refused, cut to a sensible length."""
    body = _RefusalBody(refusal.code[:_MAX_CODE_CHARACTERS], refusal.text[:_MAX_TEXT_CHARACTERS])
    return msgspec.msgpack.encode(body)


def decode_refusal(payload: bytes) -> RequestRefused:
    """The refusal a payload holds; one of code `malformed` if it holds none."""
    try:
        body = _refusals.decode(payload)
    except (msgspec.MsgspecError, ValueError):
        return RequestRefused("malformed", "the peer's refusal cannot be read")
    return RequestRefused(body.code[:_MAX_CODE_CHARACTERS], body.text[:_MAX_TEXT_CHARACTERS])
