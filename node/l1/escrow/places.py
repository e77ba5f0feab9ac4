"""Where a payload is not of its form, in the words of its fields."""

import re
from functools import lru_cache

import msgspec
from msgspec import inspect

_MESSAGE = re.compile(r"^(?P<problem>.*?)(?: - at `\$\.?(?P<place>.*)`)?\Z", re.DOTALL)
_NAMED = re.compile(r"(?P<problem>unknown|missing required) field `(?P<name>.*)`\Z", re.DOTALL)
_STEP = re.compile(r"\[(?P<index>[0-9]+)\]|\.?(?P<name>[^.\[]+)|(?P<any>\[\.\.\.\])")


def named(message: str, form: type[msgspec.Struct]) -> tuple[str, str]:
    """Where msgspec's message says that something in a form is wrong, and what."""
    found = _MESSAGE.match(message)
    assert found is not None
    problem, place = found["problem"], _place(found["place"] or "", form)
    named = _NAMED.search(problem)
    if named:
        place = f"{place}.{named['name']}".lstrip(".")
        problem = "is not known here" if named["problem"] == "unknown" else "is missing"
    return place, problem


def _place(path: str, form: type[msgspec.Struct]) -> str:
    """The path with the names of fields where it counts the parts of a row."""
    kind: inspect.Type | None = _type_of(form)
    place = ""
    for step in _STEP.finditer(path):
        text, kind = _step(step, kind)
        place += text
    return place.lstrip(".")


def _step(step: re.Match[str], kind: inspect.Type | None) -> tuple[str, inspect.Type | None]:
    if isinstance(kind, inspect.VarTupleType):
        return step[0], kind.item_type
    if not isinstance(kind, inspect.StructType):
        return step[0], None
    if step["index"] and kind.array_like and int(step["index"]) < len(kind.fields):
        field = kind.fields[int(step["index"])]
        return f".{field.name}", field.type
    types = {field.encode_name: field.type for field in kind.fields}
    return step[0], types.get(step["name"])


@lru_cache
def _type_of(form: type[msgspec.Struct]) -> inspect.Type:
    return inspect.type_info(form)
