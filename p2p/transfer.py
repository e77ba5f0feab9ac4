"""The two halves of a bulk transfer, without I/O.

    fetcher:  u32 length ‖ msgpack [name, argument]
    sender:   u32 length ‖ msgpack [size, sha256, code, text] ‖ body
    fetcher:  ACK, one byte

Integers are big-endian. A code that is not empty is a refusal: nothing follows. An end of stream
looks the same whether the sender was done or was cut off, so the size is announced, the digest
checked, and only the acknowledgement tells the sender that the body is safe.
"""

import hashlib
import struct
from typing import TypeVar

import msgspec

from p2p.errors import BrokenFraming, DigestMismatch, RequestRefused, TransferFailed
from p2p.network import BulkInfo

ACK = b"\x06"
WRITE_BYTES = 256 * 1024
"""The body is written in pieces of this size."""

SHA256_BYTES = 32
MAX_HEADER_BYTES = 4096
"""Bound of the sender's header; the fetcher's is `Limits.bulk_argument_bytes`."""

_LENGTH = struct.Struct(">I")
_MAX_CODE_CHARACTERS = 64
_MAX_TEXT_CHARACTERS = 512


class Ask(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The fetcher's header: which body of which handler."""

    name: str
    argument: bytes


class Offer(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The sender's header: what follows, or why nothing does."""

    size: int
    sha256: bytes
    code: str = ""
    text: str = ""

    @classmethod
    def refusing(cls, refusal: RequestRefused) -> "Offer":
        """The header of a refusal."""
        code = refusal.code[:_MAX_CODE_CHARACTERS] or "internal"
        return cls(0, b"", code, refusal.text[:_MAX_TEXT_CHARACTERS])

    def accepted(self) -> BulkInfo:
        """What is going to be sent. Raises RequestRefused, BrokenFraming for nonsense."""
        if self.code:
            raise RequestRefused(self.code[:_MAX_CODE_CHARACTERS], self.text[:_MAX_TEXT_CHARACTERS])
        if self.size < 0 or len(self.sha256) != SHA256_BYTES:
            raise BrokenFraming("impossible size or digest")
        return BulkInfo(self.size, self.sha256)


H = TypeVar("H", Ask, Offer)


def encode_header(header: Ask | Offer) -> bytes:
    """The header with its length before it."""
    body = msgspec.msgpack.encode(header)
    return _LENGTH.pack(len(body)) + body


class HeaderReader:
    """Collects a header of at most `max_bytes`; what follows it is kept as `rest`."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._buffer = b""
        self.rest = b""

    def feed(self, data: bytes, header_type: type[H]) -> H | None:
        """The header, once it is complete. Raises BrokenFraming."""
        self._buffer += data
        if len(self._buffer) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._buffer)
        if length > self._max_bytes:
            raise BrokenFraming(f"header of {length} bytes")
        end = _LENGTH.size + int(length)
        if len(self._buffer) < end:
            return None
        self.rest = self._buffer[end:]
        try:
            return msgspec.msgpack.decode(self._buffer[_LENGTH.size : end], type=header_type)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise BrokenFraming(f"header: {error}") from error


class BodyCheck:
    """Follows a body chunk by chunk and knows whether it is the announced one."""

    def __init__(self, info: BulkInfo) -> None:
        self._info = info
        self._left = info.size
        self._hash = hashlib.sha256()

    @property
    def left(self) -> int:
        """Bytes that are still to come."""
        return self._left

    def feed(self, chunk: bytes) -> None:
        """Count and hash a chunk. Raises TransferFailed if it is more than was announced."""
        if len(chunk) > self._left:
            raise TransferFailed(f"more than the announced {self._info.size} bytes")
        self._left -= len(chunk)
        self._hash.update(chunk)

    def finish(self) -> BulkInfo:
        """The whole body was fed and is right. Raises TransferFailed or DigestMismatch."""
        if self._left:
            raise TransferFailed(f"{self._left} of {self._info.size} bytes are missing")
        if self._hash.digest() != self._info.sha256:
            raise DigestMismatch("the body's SHA-256 is not the announced one")
        return self._info
