"""The registry of message types: what may cross between peers.

A message is a frozen msgspec struct with a type id, a version and a size bound. On the wire it
is `u16 type id ‖ u8 version ‖ msgpack array of its fields`, integers big-endian:

    @register
    class Ping(Message):
        TYPE_ID = 7
        VERSION = 1
        MAX_BYTES = 64
        text: str

A field may have a type of its own if that has `to_wire()` and a class method `from_wire(value)`,
which raises ValueError for a value that is none.

A field that is added, removed or changes its meaning needs a new VERSION (or type id): unknown
versions are refused, never guessed at.
"""

import struct
from typing import Any, ClassVar, TypeVar

import msgspec

from p2p.errors import MalformedMessage, MessageTooLarge

_HEAD = struct.Struct(">HB")


class Message(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The base of every message. `MAX_BYTES` bounds the whole encoding, head included."""

    TYPE_ID: ClassVar[int]
    VERSION: ClassVar[int]
    MAX_BYTES: ClassVar[int]


M = TypeVar("M", bound=Message)


def _to_wire(value: Any) -> Any:
    if not hasattr(value, "to_wire"):
        raise NotImplementedError(f"{type(value).__name__} has no form for the wire")
    return value.to_wire()


def _from_wire(kind: Any, value: Any) -> Any:
    if not hasattr(kind, "from_wire"):
        raise NotImplementedError(f"{kind} cannot be read from the wire")
    return kind.from_wire(value)


_encoder = msgspec.msgpack.Encoder(enc_hook=_to_wire)
_decoders: dict[int, tuple[type[Message], msgspec.msgpack.Decoder[Message]]] = {}


def register(message_type: type[M]) -> type[M]:
    """Class decorator: make the type known. Raises ValueError if its id is taken or invalid."""
    type_id, version = message_type.TYPE_ID, message_type.VERSION
    if not 0 <= type_id < 1 << 16 or not 0 <= version < 1 << 8:
        raise ValueError(f"{message_type.__name__}: type id or version out of range")
    if type_id in _decoders:
        taken = _decoders[type_id][0].__name__
        raise ValueError(f"{message_type.__name__}: type id {type_id} belongs to {taken}")
    _decoders[type_id] = (message_type, msgspec.msgpack.Decoder(message_type, dec_hook=_from_wire))
    return message_type


def encode(message: Message) -> bytes:
    """The message's bytes. Raises MessageTooLarge if they exceed the bound of its type."""
    data = _HEAD.pack(message.TYPE_ID, message.VERSION) + _encoder.encode(message)
    if len(data) > message.MAX_BYTES:
        raise MessageTooLarge(len(data), message.MAX_BYTES)
    return data


def decode(data: bytes) -> Message:
    """The message of `data`.

    Raises MalformedMessage for an unknown type or version, for more bytes than the type allows
    (looked at before anything is decoded) and for a body that is not the type's.
    """
    if len(data) < _HEAD.size:
        raise MalformedMessage("no head")
    type_id, version = _HEAD.unpack_from(data)
    if type_id not in _decoders:
        raise MalformedMessage(f"unknown type {type_id}")
    message_type, decoder = _decoders[type_id]
    if version != message_type.VERSION:
        raise MalformedMessage(f"{message_type.__name__}: unknown version {version}")
    if len(data) > message_type.MAX_BYTES:
        raise MalformedMessage(f"{message_type.__name__}: {len(data)} bytes")
    try:
        return decoder.decode(memoryview(data)[_HEAD.size :])
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise MalformedMessage(f"{message_type.__name__}: {error}") from error
