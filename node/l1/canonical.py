"""JSON as the L1 hashes it, and as it reads integers.

Two forms, which differ on purpose of upstream: the payload inside a transaction's hash is sorted
and pure ASCII, the ComputeResult under `compute_root` has a fixed order and raw UTF-8.
"""

import json
import re
from collections.abc import Mapping
from hashlib import sha256

from node.l1.errors import BadTransaction, NotCanonical

RESULT_TEXTS = ("task_id", "worker_address", "result_hash", "proof", "signature")
"""The string fields of a ComputeResult, all required."""

_COMPACT = (",", ":")
_DIGITS = r"[1-9][0-9]*(?:_[0-9]+)*"
# Zeros in front are looked over, with the underscores among them, and a minus may follow them.
_INTEGER_TEXT = re.compile(
    rf"\s*(?:[+-]?(?:0(?:[0_]*0)?|(?:0[0_]*)?{_DIGITS})|\+?0[0_]*-_?(?:0|{_DIGITS}))(?:\.0+)?\s*",
    re.ASCII,
)
_MAX_INTEGER_TEXT = 4_300
_FLOAT_BOUND = 2.0**63


def canonical_payload(payload: Mapping[str, object]) -> str:
    """The JSON that goes into a transaction's hash: keys sorted by code point, no spaces, ASCII.

    Raises:
        NotCanonical: it holds NaN or an infinity, half a surrogate pair, an integer of more than
            4,300 digits, or what is no JSON. The chain accepts some of these and then stores
            another payload, or loses the block.
    """
    if not payload:
        return "{}"
    text = _dumped(payload, ascii_only=True, sort=True)
    if r"\ud" in text:
        _refuse_half_pairs(_dumped(payload, ascii_only=False, sort=False))
    return text


def compute_leaf(payload: Mapping[str, object]) -> bytes:
    """The leaf of a SUBMIT_RESULT under `compute_root`: 32 bytes.

    Raises:
        BadTransaction: the payload is no ComputeResult.
    """
    return sha256(compute_leaf_json(payload)).digest()


def compute_leaf_json(payload: Mapping[str, object]) -> bytes:
    """The ComputeResult in a payload, as compact UTF-8 JSON; raises BadTransaction."""
    for field in RESULT_TEXTS:
        if not isinstance(payload.get(field), str):
            raise BadTransaction(f"a ComputeResult needs {field} as a string")
    ordered = {
        "task_id": payload["task_id"],
        "worker_address": payload["worker_address"],
        "result_hash": payload["result_hash"],
        "proof": payload["proof"],
        "nonce": loose_integer(payload.get("nonce", 0)),
        "signature": payload["signature"],
    }
    return _refuse_half_pairs(_dumped(ordered, ascii_only=False, sort=False))


def loose_integer(value: object) -> int:
    """An integer as the chain reads it: also from decimal text, a whole float, or true and false.

    These are pydantic's rules for a lax `int`.

    Raises:
        BadTransaction: the value is none of these.
    """
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < _FLOAT_BOUND:
        return int(value)
    if isinstance(value, str) and _is_integer_text(value):
        _, minus, digits = value.partition(".")[0].replace("_", "").rpartition("-")
        return -int(digits) if minus else int(digits)
    raise BadTransaction(f"{str(value)[:40]!r} is no integer")


def _is_integer_text(text: str) -> bool:
    return len(text) <= _MAX_INTEGER_TEXT and _INTEGER_TEXT.fullmatch(text) is not None


def _dumped(value: Mapping[str, object], *, ascii_only: bool, sort: bool) -> str:
    try:
        return json.dumps(
            value, ensure_ascii=ascii_only, sort_keys=sort, allow_nan=False, separators=_COMPACT
        )
    except (TypeError, ValueError, RecursionError) as error:
        raise NotCanonical(f"the payload is not JSON that the chain keeps: {error}") from error


def _refuse_half_pairs(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise NotCanonical("the payload holds half of a surrogate pair") from error
