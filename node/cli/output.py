"""What commands print: plain aligned text for people, one JSON object for programs."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click

GAP = "  "


def print_json(answer: object) -> None:
    """Print an answer, always an object at the top, as JSON."""
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(answer), indent=2))


def print_answer(answer: object, text: str, *, as_json: bool) -> None:
    """Print an answer for whoever asked."""
    if as_json:
        print_json(answer)
    else:
        click.echo(text)


def pairs(values: Mapping[str, object]) -> str:
    """Names and values, one a line, the values aligned; a None is left out."""
    shown = {name: _cell(value) for name, value in values.items() if value is not None}
    width = max((len(name) for name in shown), default=0)
    return "\n".join(f"{name:<{width}}{GAP}{value}".rstrip() for name, value in shown.items())


def found_text(about: Mapping[str, object], findings: Sequence[str]) -> str:
    """What was looked at, and each thing that is wrong, a line each."""
    said = findings or ("nothing is wrong",)
    return "\n".join([pairs(about), *(f"- {one}" for one in said)])


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Rows under their headings, columns aligned."""
    cells = [[name.upper() for name in head], *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    return "\n".join(
        GAP.join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )


def moment(unix_s: float) -> str:
    """A time in UTC, to the second."""
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(_cell, value)) or "-"
    return "-" if value in (None, "") else str(value)
