"""From a TOML table to a frozen struct, every mistake named by file, dotted key and remedy."""

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import msgspec

from node.amounts import Amount, parse_cpc
from node.config.values import brief
from node.errors import ConfigError, InvalidInput

_S = TypeVar("_S", bound=msgspec.Struct)
_NAMES = {int: "a whole number", float: "a number", str: "a text in quotes", bool: "true or false"}


def fault(source: str, key: str, message: str, remedy: str | None = None) -> ConfigError:
    """The error for one key of a file."""
    return ConfigError(message, field=f"{source}: {key}" if key else source, remedy=remedy)


def read_toml(path: Path) -> dict[str, Any]:
    """Parse a file; ConfigError if it is missing, unreadable or not TOML."""
    try:
        return tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        remedy = "check the path and its permissions"
        raise fault(str(path), "", f"cannot be read: {error.strerror}", remedy) from error
    except UnicodeDecodeError as error:
        raise fault(str(path), "", "is not text", "save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise fault(str(path), "", f"is not TOML: {error}") from error


def build(kind: type[_S], table: object, source: str, key: str = "") -> _S:
    """Make a struct of a table; ConfigError for unknown or missing keys, types and ranges."""
    if not isinstance(table, Mapping):
        raise fault(source, key, f"{brief(table)} is not a table", f"begin a section [{key}]")
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    for name in table:
        if name not in fields:
            raise _unknown(source, _join(key, name), str(name), tuple(fields))
    for name, field in fields.items():
        if field.required and name not in table:
            raise fault(source, _join(key, name), "is missing", "see the samples in configs/")
    return kind(
        **{
            name: _value(fields[name].type, value, source, _join(key, name))
            for name, value in table.items()
        }
    )


def _join(key: str, name: object) -> str:
    return f"{key}.{name}" if key else str(name)


def _unknown(source: str, key: str, name: str, known: tuple[str, ...]) -> ConfigError:
    near = get_close_matches(name, known, n=1)
    remedy = f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
    return fault(source, key, "is not known", remedy)


def _value(kind: Any, value: object, source: str, key: str) -> object:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return build(kind, value, source, key)
    try:
        return msgspec.convert(value, kind, dec_hook=_parse)
    except InvalidInput as error:
        raise fault(source, key, error.message, error.remedy) from error
    except msgspec.ValidationError as error:
        message = f"{brief(value)} is not allowed here"
        raise fault(source, key, message, f"use {_wanted(kind)}") from error


def _parse(kind: Any, value: object) -> object:
    return parse_cpc(value) if kind is Amount else kind.parse(value)


def _wanted(kind: Any) -> str:
    """What a type takes, in words."""
    if get_origin(kind) is Annotated:
        base, meta = get_args(kind)
        return meta.description or f"{_NAMES[base]} from {meta.ge} to {meta.le}"
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(f'"{choice}"' for choice in get_args(kind))
    if get_origin(kind) is tuple:
        item = get_args(kind)[0]
        return "a list of " + (_wanted(item) if get_origin(item) is Literal else "texts in quotes")
    return _NAMES[kind]
