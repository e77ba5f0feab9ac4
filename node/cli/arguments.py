"""What a task is given as on the command line: a payload, a duration, an amount."""

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(s|m|h|d)?", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


class Duration(click.ParamType[float]):
    """`90`, `90s`, `15m`, `2h` or `1d`, in seconds."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read a number with a unit."""
        match = _DURATION.fullmatch(str(value))
        if match is None:
            self.fail(f"{value!r} is not a duration; write it like 90s, 15m, 2h or 1d", param, ctx)
        return float(match[1]) * _SECONDS[match[2] or "s"]


DURATION = Duration()


def read_payload(fields: Sequence[str], source: str | None) -> dict[str, Any]:
    """The payload of a task: an object from `source`, then `KEY=VALUE` fields over it.

    `source` is JSON, `@FILE` or `-` for the standard input. A value is JSON if it reads as JSON,
    and a text otherwise.
    """
    payload = _read_object(source) if source is not None else {}
    for field in fields:
        key, equals, value = field.partition("=")
        if not key or not equals:
            raise click.BadParameter(f"{field!r} is not KEY=VALUE", param_hint="'FIELDS'")
        payload[key] = _value(value)
    return payload


def _read_object(source: str) -> dict[str, Any]:
    if source == "-":
        text = sys.stdin.read()
    elif source.startswith("@"):
        text = Path(source[1:]).expanduser().read_text(encoding="utf-8")
    else:
        text = source
    try:
        found = json.loads(text)
    except ValueError as error:
        raise click.BadParameter(f"is not JSON: {error}", param_hint="'--payload'") from error
    if not isinstance(found, dict):
        raise click.BadParameter("is not a JSON object", param_hint="'--payload'")
    return found


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
