"""The two JSON forms, and integers as the chain reads them, against the libraries it uses."""

import json
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from node.l1.canonical import (
    canonical_payload,
    compute_leaf,
    compute_leaf_json,
    loose_integer,
)
from node.l1.errors import BadTransaction, NotCanonical

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT
FINITE = SCALARS.filter(lambda value: value not in (float("inf"), float("-inf")))
PAYLOADS = st.dictionaries(
    TEXT,
    st.recursive(
        FINITE, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=8
    ),
    max_size=4,
)
RESULT = {"task_id": "t", "worker_address": "w", "result_hash": "r", "proof": "p", "signature": ""}


def test_canonical_payloads(vectors: dict[str, Any]) -> None:
    for vector in vectors["transactions"]:
        assert canonical_payload(vector["tx"]["payload"]) == vector["payload_canonical_json"]


def test_compute_leaves(vectors: dict[str, Any]) -> None:
    for vector in vectors["compute_results"]:
        leaf = compute_leaf_json(vector["payload"])
        assert leaf == bytes.fromhex(vector["leaf_json_utf8_hex"])
        assert leaf.decode() == vector["leaf_json_text"]
        assert compute_leaf(vector["payload"]).hex() == vector["leaf_hash_hex"]


@settings(max_examples=40)
@given(PAYLOADS)
def test_canonical_json_says_the_same_in_ascii(payload: dict[str, Any]) -> None:
    text = canonical_payload(payload)
    assert text.isascii()
    assert json.loads(text) == payload
    assert canonical_payload(json.loads(text)) == text


@settings(max_examples=40)
@given(PAYLOADS)
def test_the_order_of_keys_does_not_matter(payload: dict[str, Any]) -> None:
    assert canonical_payload(dict(reversed(payload.items()))) == canonical_payload(payload)


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        float("-inf"),
        "\ud800",
        "a\udc00b",
        b"bytes",
        pytest.param(10**5000, id="an integer that Python does not print"),
        {"\udfff": 1},
        [[float("nan")]],
        object(),
    ],
)
def test_what_the_chain_would_not_keep_is_refused(value: object) -> None:
    with pytest.raises(NotCanonical):
        canonical_payload({"a": value})


def test_what_only_looks_like_half_a_pair_is_fine() -> None:
    assert canonical_payload({"a": r"\ud800", "b": "😀"}) == r'{"a":"\\ud800","b":"\ud83d\ude00"}'


def test_a_payload_in_itself_is_refused() -> None:
    payload: dict[str, object] = {}
    payload["again"] = payload
    with pytest.raises(NotCanonical):
        canonical_payload(payload)


@given(
    st.integers()
    | st.booleans()
    | st.floats()
    | st.integers(-10, 10).map(float)
    | st.from_regex(r"\s*[+-]?[0-9_]{1,6}(\.0*)?\s*", fullmatch=True).filter(str.isascii)
    | st.from_regex(r"[0-9]{1,40}", fullmatch=True).filter(str.isascii)
    | st.text("01_+-.", max_size=8)
    | TEXT
    | st.none()
    | st.lists(st.integers(), max_size=1)
)
@example("9" * 4300)
@example("9" * 4301)
@example("1.")
@example("1.0_0")
@example("0__0")
@example("+0_-_1_0.0")
@example("\x1f7")
@example(2.0**63)
@example(-(2.0**63))
def test_integers_are_read_as_pydantic_reads_them(value: object) -> None:
    try:
        expected: int | None = TypeAdapter(int).validate_python(value)
    except ValidationError:
        expected = None
    try:
        read: int | None = loose_integer(value)
    except BadTransaction:
        read = None
    assert read == expected


@pytest.mark.parametrize("field", RESULT)
@pytest.mark.parametrize("value", [None, 1, b"", ["x"]])
def test_a_compute_result_needs_strings(field: str, value: object) -> None:
    with pytest.raises(BadTransaction, match=field):
        compute_leaf({**RESULT, field: value})
    with pytest.raises(BadTransaction, match=field):
        compute_leaf({name: text for name, text in RESULT.items() if name != field})


@pytest.mark.parametrize("nonce", [None, "x", 1.5, "", [1], "1e3", float("nan")])
def test_a_compute_result_needs_an_integer_nonce(nonce: object) -> None:
    with pytest.raises(BadTransaction, match="integer"):
        compute_leaf({**RESULT, "nonce": nonce})


@given(st.fixed_dictionaries(dict.fromkeys(RESULT, TEXT)), st.integers())
def test_leaves_are_compact_utf8_in_fixed_order(result: dict[str, Any], nonce: int) -> None:
    text = compute_leaf_json({"extra": 1, "nonce": nonce, **result}).decode()
    order = ["task_id", "worker_address", "result_hash", "proof", "nonce", "signature"]
    assert list(json.loads(text)) == order
    assert json.loads(text) == {**result, "nonce": nonce}
    assert compute_leaf({**result, "nonce": nonce}) == sha256(text.encode()).digest()
