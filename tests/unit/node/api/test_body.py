import json
import math

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from node.api.body import (
    MAX_BODY_BYTES,
    MAX_DEPTH,
    check_media_type,
    header,
    parse_json,
    read_body,
)
from node.api.errors import (
    BodyTooLarge,
    InvalidRequest,
    MalformedJson,
    SlowRequest,
    WrongMediaType,
)
from node.errors import InvalidInput


class Source:
    """An ASGI `receive` that counts what was taken from it."""

    def __init__(self, *parts: bytes, then: str = "end") -> None:
        self.parts = list(parts)
        self.then = then
        self.taken = 0

    async def __call__(self) -> dict[str, object]:
        await trio.lowlevel.checkpoint()
        if self.parts:
            part = self.parts.pop(0)
            self.taken += len(part)
            more = bool(self.parts) or self.then != "end"
            return {"type": "http.request", "body": part, "more_body": more}
        if self.then == "hang":
            await trio.sleep_forever()
        return {"type": "http.disconnect"}


async def test_a_body_arrives_in_pieces() -> None:
    assert await read_body([], Source(b"ab", b"", b"c")) == b"abc"
    assert await read_body([], Source(b"")) == b""


async def test_an_announced_size_is_refused_unread() -> None:
    source = Source(b"x" * 10)
    headers = [(b"content-length", b"100000000")]
    with pytest.raises(BodyTooLarge, match="1048576"):
        await read_body(headers, source)
    with pytest.raises(BodyTooLarge):
        await read_body([(b"content-length", b"9" * 5000)], source)
    assert source.taken == 0


async def test_an_unannounced_size_is_refused_at_the_bound() -> None:
    source = Source(*[b"x" * 65536] * 1600)
    with pytest.raises(BodyTooLarge):
        await read_body([], source)
    assert source.taken <= MAX_BODY_BYTES + 65536


async def test_the_bound_itself_is_taken() -> None:
    assert len(await read_body([], Source(b"x" * 100), max_bytes=100)) == 100
    with pytest.raises(BodyTooLarge):
        await read_body([], Source(b"x" * 101), max_bytes=100)


async def test_a_body_that_trickles_is_given_up(autojump_clock) -> None:
    with pytest.raises(SlowRequest, match="10 s"):
        await read_body([], Source(b"x", then="hang"))
    assert trio.current_time() == 10


async def test_a_client_that_hangs_up_is_no_crash() -> None:
    with pytest.raises(InvalidRequest):
        await read_body([], Source(b"x", then="gone"))


@pytest.mark.parametrize(
    "value",
    ["application/json", "Application/JSON; charset=utf-8", 'application/json;charset="UTF-8"'],
)
def test_json_media_types(value: str) -> None:
    check_media_type([(b"content-type", value.encode())])


@pytest.mark.parametrize(
    "value",
    [None, "", "text/plain", "application/json; charset=latin-1", "application/jsonp", "text/json"],
)
def test_other_media_types(value: str | None) -> None:
    headers = [] if value is None else [(b"content-type", value.encode())]
    with pytest.raises(WrongMediaType, match="content-type"):
        check_media_type(headers)


def test_a_header_is_there_once() -> None:
    with pytest.raises(InvalidInput, match="more than once"):
        header([(b"host", b"a"), (b"host", b"b")], b"host")


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "line 1"),
        (b"{", "line 1"),
        (b"{} {}", "Extra data"),
        (b"{'a': 1}", "double quotes"),
        (b'{"a": 1,}', "line 1"),
        (b'{"a": NaN}', "NaN"),
        (b"[Infinity]", "Infinity"),
        (b"-Infinity", "Infinity"),
        (b"1e999", "range"),
        (b"-1e999", "range"),
        (b"0." + b"1" * 100, "range"),
        (b'{"a": 1, "b": 2, "a": 3}', "'a'"),
        (b'{"x": {"a": 1, "\\u0061": 3}}', "'a'"),
        (b"18446744073709551616", "64 bits"),
        (b"-9223372036854775809", "64 bits"),
        (b"9" * 100_000, "64 bits"),
        (b'"\xff"', "byte 1"),
        (b"\xef\xbb\xbf{}", "line 1"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b'{"\\uDfff": 1}', "surrogate"),
        (b'"\x01"', "control character"),
        (b"[" * 100_000, "deeper than 32"),
        (b'{"a":' * 33 + b"1" + b"}" * 33, "deeper than 32"),
        (b"[]" * 100, "Extra data"),
        (b"\x00", "line 1"),
    ],
)
def test_json_that_is_refused(data: bytes, word: str) -> None:
    with pytest.raises(MalformedJson) as caught:
        parse_json(data)
    assert word in caught.value.message
    assert caught.value.remedy


def test_json_at_the_bounds() -> None:
    assert parse_json(b"[18446744073709551615, -9223372036854775808]") == [2**64 - 1, -(2**63)]
    deepest = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    assert parse_json(deepest) == json.loads(deepest)
    assert parse_json(b"[" + deepest[1:-1] + b"," + deepest[1:-1] + b"]")
    brackets_in_text = json.dumps(["[{" * 50, '"[\\"{' * 50]).encode()
    assert parse_json(brackets_in_text) == json.loads(brackets_in_text)
    assert parse_json(b'"\\ud83d\\ude00"') == "\U0001f600"


def test_hostile_text_is_scanned_once() -> None:
    with pytest.raises(MalformedJson, match="Unterminated"):
        parse_json(b"[" * 30 + b"{},[]," + b'"' + b'\\"' * 500_000)


@pytest.mark.parametrize(
    "data",
    [
        b"[" + b"1," * 500_000 + b"1]",
        b"[" + b"{}," * 300_000 + b"1]",
        b"[" + b'"",' * 300_000 + b"1]",
        b'"' + b'"' * 1_000_000,
        b"[" + (b"[" * 30 + b"]" * 30 + b",") * 17_000 + b"1]",
    ],
)
def test_many_small_values_are_refused_before_they_are_made(data: bytes) -> None:
    with pytest.raises(MalformedJson, match="more than 50000"):
        parse_json(data)


def test_long_texts_and_lists_are_taken() -> None:
    text = json.dumps([',"[{' * 100_000])
    assert parse_json(text.encode()) == json.loads(text)
    assert len(parse_json(b"[" + b"1," * 49_000 + b"1]")) == 49_001


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(json_values, st.booleans())
def test_what_is_taken_is_what_was_meant(value: object, ascii_only: bool) -> None:
    assert parse_json(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@given(st.binary(max_size=200) | st.text('[]{}",:\\ud8019eE+-.aNIn ', max_size=60).map(str.encode))
def test_bytes_give_json_or_a_refusal(data: bytes) -> None:
    try:
        value = parse_json(data)
    except MalformedJson:
        return
    assert json.loads(data) == value
    assert not isinstance(value, float) or math.isfinite(value)
    json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
