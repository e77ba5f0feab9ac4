"""A market's signed word that a task ended without a result: what a refund is signed for."""

from typing import Annotated

import msgspec

from node.verification.claims import Count, StatementInvalid
from p2p.encoding import tagged, text, u64
from p2p.identity import Identity, verify

MAX_CODE = 64


class TaskEnd(msgspec.Struct, frozen=True):
    """The end of a task that gives the whole reward back."""

    task_id: str
    code: Annotated[str, msgspec.Meta(max_length=MAX_CODE)]
    """Why, in one word: `cancelled`, `deadline_exceeded`, `no_valid_result`, …"""
    at_ms: Count
    """When the market says so, Unix milliseconds."""
    market_key: bytes
    signature: bytes = b""


def end_bytes(end: TaskEnd, chain_id: str) -> bytes:
    """What the market signs."""
    fields = (text(end.task_id), text(end.code), u64(end.at_ms), end.market_key)
    return tagged("tmnode/task-end", 1, chain_id, *fields)


def sign_end(task_id: str, code: str, at_ms: int, chain_id: str, market: Identity) -> TaskEnd:
    """The end with its market's signature."""
    unsigned = TaskEnd(task_id, code, at_ms, market.public_key)
    return msgspec.structs.replace(unsigned, signature=market.sign(end_bytes(unsigned, chain_id)))


def check_end(end: TaskEnd, chain_id: str) -> None:
    """Raise StatementInvalid unless its market signed it."""
    if not verify(end.market_key, end_bytes(end, chain_id), end.signature):
        raise StatementInvalid("the market did not sign this end", field="end.signature")
