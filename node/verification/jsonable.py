"""Structs as plain JSON values and back: bytes as lower-case hex, amounts as decimal text."""

import typing
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, cast, get_args, get_origin

import msgspec

from node.verification.claims import strict_hex

T = TypeVar("T")


def to_jsonable(value: object) -> Any:
    """A struct as dicts, lists, text and numbers, fields in their declared order."""
    plain = msgspec.to_builtins(value, builtin_types=(bytes,), enc_hook=lambda one: one.to_wire())
    return _hexed(plain)


def from_jsonable(value: object, kind: type[T]) -> T:
    """Read `to_jsonable` back.

    Raises StatementInvalid for bad hex and msgspec.ValidationError for a wrong shape.
    """
    return msgspec.convert(
        _unhexed(value, kind),
        kind,
        builtin_types=(bytes,),
        dec_hook=lambda wanted, one: wanted.from_wire(one),
    )


@cache
def _hints_of(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _hexed(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: _hexed(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_hexed(one) for one in value]
    return value


def _unhexed(value: object, kind: Any) -> object:
    """`value` with the text of every field that is typed bytes turned into bytes."""
    kind = _without_none(kind)
    if kind is bytes and isinstance(value, str):
        return strict_hex(value, "hex")
    if isinstance(value, list) and get_origin(kind) is tuple:
        return [_unhexed(one, get_args(kind)[0]) for one in value]
    if isinstance(value, dict) and isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        hints = _hints_of(kind)
        items = cast("dict[str, object]", value).items()
        return {name: _unhexed(one, hints.get(name)) for name, one in items}
    return value


def _without_none(kind: Any) -> Any:
    """`X` for `X | None`: None stays what it is."""
    if get_origin(kind) is not UnionType:
        return kind
    return next(one for one in get_args(kind) if one is not NoneType)
