"""Canonical bytes for everything that is signed.

A signed statement is `LP(tag) ‖ u16 version ‖ LP(chain id) ‖ LP(field) ‖ …`, where `LP(x)` is the
length of x as u32 followed by x; integers are big-endian. The mapping is injective: two
different lists of (tag, version, chain id, fields) never give the same bytes, so a signature
made for one statement cannot be read as another.
"""

import struct

_LENGTH = struct.Struct(">I")
_U16 = struct.Struct(">H")
_U64 = struct.Struct(">Q")


def tagged(tag: str, version: int, chain_id: str, *fields: bytes) -> bytes:
    """The bytes to sign for the statement `tag` (`version` 0..65535) on the chain `chain_id`."""
    head = (_prefixed(text(tag)), _U16.pack(version), _prefixed(text(chain_id)))
    return b"".join((*head, *map(_prefixed, fields)))


def u64(number: int) -> bytes:
    """An unsigned integer below 2^64 as 8 bytes."""
    return _U64.pack(number)


def text(value: str) -> bytes:
    """A string as UTF-8."""
    return value.encode()


def _prefixed(field: bytes) -> bytes:
    return _LENGTH.pack(len(field)) + field
