"""Bytes of strangers: read with bounds on size and time, then as strict JSON.

Stricter than the standard asks, because money hangs on what was meant: no repeated names, no NaN
or Infinity, no integer beyond 64 bits (records cannot carry them), no lone surrogates (they are
no text), and bounds on
depth and number of tokens, so that no body holds the node up.
"""

import json
import math
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, NoReturn

import trio

from node.api.errors import BodyTooLarge, InvalidRequest, MalformedJson, SlowRequest, WrongMediaType
from node.errors import InvalidInput

MAX_BODY_BYTES = 1 << 20
MAX_BODY_S = 10.0
MAX_DEPTH = 32
MAX_TOKENS = 50_000
MAX_INTEGER = (1 << 64) - 1
MIN_INTEGER = -(1 << 63)
_MAX_NUMBER_LENGTH = 64
_MAX_INTEGER_LENGTH = 20

Headers = Iterable[tuple[bytes, bytes]]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

# Never fails after an opening quote, so that no input makes it scan anything twice.
_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{},]', re.DOTALL)
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


def header(headers: Headers, name: bytes) -> str | None:
    """The value of a header that may be there once; InvalidInput if it is repeated."""
    values = [value for key, value in headers if key == name]
    if len(values) > 1:
        raise InvalidInput("is given more than once", field=name.decode(), remedy="send it once")
    return values[0].decode("latin-1").strip() if values else None


def is_json(media_type: str | None) -> bool:
    """Whether a content type is JSON in UTF-8."""
    kind, _, parameters = (media_type or "").partition(";")
    return kind.strip().lower() == "application/json" and (
        parameters.strip().lower().replace('"', "") in ("", "charset=utf-8")
    )


def check_media_type(headers: Headers) -> None:
    """Raise WrongMediaType unless the body is announced as JSON."""
    media_type = header(headers, b"content-type")
    if not is_json(media_type):
        raise WrongMediaType(
            f"is {media_type[:60]!r}" if media_type else "is missing",
            field="content-type",
            remedy="send JSON with the header `Content-Type: application/json`",
        )


async def read_body(
    headers: Headers,
    receive: Receive,
    *,
    max_bytes: int = MAX_BODY_BYTES,
    timeout_s: float = MAX_BODY_S,
) -> bytes:
    """The whole body.

    Raises:
        BodyTooLarge: longer than `max_bytes`; it is not read any further.
        SlowRequest: not complete within `timeout_s`.
        InvalidRequest: the client hung up in the middle.
    """
    _check_announced_size(headers, max_bytes)
    with trio.move_on_after(timeout_s):
        return await _collect(receive, max_bytes)
    raise SlowRequest(
        f"the body was not complete after {timeout_s:g} s", remedy="send it in one go"
    )


def _check_announced_size(headers: Headers, max_bytes: int) -> None:
    length = header(headers, b"content-length")
    if length is not None and length.isdecimal() and int(length[:20]) > max_bytes:
        _refuse_size(max_bytes)


async def _collect(receive: Receive, max_bytes: int) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidRequest("the client hung up before the body was complete")
        body += message.get("body", b"")
        if len(body) > max_bytes:
            _refuse_size(max_bytes)
        if not message.get("more_body", False):
            return bytes(body)


def _refuse_size(max_bytes: int) -> NoReturn:
    raise BodyTooLarge(
        f"the body is longer than {max_bytes} bytes",
        remedy="put large inputs into artifacts and name them in the payload",
    )


def parse_json(data: bytes) -> object:
    """The value of strict JSON; raises MalformedJson that says what is wrong and where."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise MalformedJson(
            f"byte {error.start} is not UTF-8", remedy="encode the body as UTF-8"
        ) from None
    _check_shape(text)
    try:
        value: object = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise MalformedJson(
            f"{error.msg} at line {error.lineno}, column {error.colno}",
            remedy="send one JSON value",
        ) from None
    _check_surrogates(text, value)
    return value


def _check_shape(text: str) -> None:
    """Bound depth and number of tokens before anything is made: it all runs in the node's loop."""
    openers = text.count("[") + text.count("{")
    if openers <= MAX_DEPTH and 2 * openers + text.count(",") + text.count('"') <= MAX_TOKENS:
        return
    depth = 0
    for number, found in enumerate(_TOKEN.finditer(text), start=1):
        token = found[0]
        if token in ("[", "{"):
            depth += 1
        elif token in ("]", "}"):
            depth -= 1
        if depth > MAX_DEPTH:
            raise MalformedJson(
                f"is nested deeper than {MAX_DEPTH} levels", remedy="flatten the value"
            )
        if number > MAX_TOKENS:
            raise MalformedJson(
                f"has more than {MAX_TOKENS} strings, brackets and commas",
                remedy="put large inputs into artifacts and name them in the payload",
            )


def _check_surrogates(text: str, value: object) -> None:
    if _SURROGATE_ESCAPE.search(text):
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise MalformedJson(
                "has half of a surrogate pair", remedy="send only whole characters"
            ) from None


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise MalformedJson(
            f"the name {_first_repeated(pairs)[:60]!r} is there more than once",
            remedy="give each name once",
        )
    return members


def _first_repeated(pairs: list[tuple[str, object]]) -> str:
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            return name
        seen.add(name)
    raise ValueError("no name is repeated")


def _integer(text: str) -> int:
    if len(text) <= _MAX_INTEGER_LENGTH and MIN_INTEGER <= int(text) <= MAX_INTEGER:
        return int(text)
    raise MalformedJson(
        f"the integer {text[:24]}{'…' * (len(text) > 24)} does not fit into 64 bits",
        remedy="send it as a string if the field takes one",
    )


def _fraction(text: str) -> float:
    if len(text) <= _MAX_NUMBER_LENGTH and math.isfinite(value := float(text)):
        return value
    raise MalformedJson(
        f"the number {text[:24]}{'…' * (len(text) > 24)} is out of range",
        remedy="send a number that fits into 64 bits",
    )


def _constant(text: str) -> NoReturn:
    raise MalformedJson(f"{text} is no JSON", remedy="send a finite number or null")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_int=_integer,
    parse_float=_fraction,
    parse_constant=_constant,
)
