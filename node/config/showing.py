"""A configuration as plain values and as TOML again; what may be secret is left out."""

from collections.abc import Mapping
from typing import Any

import msgspec

from node.amounts import Amount, format_cpc
from node.config.values import ByteSize, Url


def plain(value: Any) -> Any:
    """The value as JSON and TOML have it: amounts in CPC, sizes with units, secrets hidden."""
    if isinstance(value, msgspec.Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, Amount):
        return format_cpc(value)
    if isinstance(value, ByteSize):
        return str(value)
    if isinstance(value, Url):
        return value.shown
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, str) else value


def to_toml(tables: Mapping[str, Any]) -> str:
    """Write tables of plain values, one section each; nested tables become dotted sections."""
    return "\n".join(_section(name, table) for name, table in _flat("", tables))


def to_toml_value(value: object) -> str:
    """One plain value as TOML writes it; a JSON text is a TOML text."""
    return msgspec.json.encode(value).decode()


def _flat(prefix: str, tables: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for name, table in tables.items():
        inner = {key: value for key, value in table.items() if isinstance(value, dict)}
        own = {key: value for key, value in table.items() if key not in inner}
        if own:
            found.append((prefix + name, own))
        found += _flat(f"{prefix}{name}.", inner)
    return found


def _section(name: str, table: Mapping[str, Any]) -> str:
    lines = (f"{key} = {to_toml_value(value)}\n" for key, value in table.items())
    return f"[{name}]\n{''.join(lines)}"
