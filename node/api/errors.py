"""What an error of the node is to a client: the only place with HTTP statuses and RPC codes.

The doors add their own errors to the tree of `node.errors`:

NodeError
├── InvalidInput
│   ├── MalformedJson       the body is no strict JSON
│   ├── BodyTooLarge        the body is longer than is read
│   ├── WrongMediaType      the body is not announced as JSON
│   └── RangeUnsatisfiable  the asked bytes lie beyond the end
├── InvalidRequest          not a JSON-RPC 2.0 request
├── UnknownMethod           no such JSON-RPC method
├── MethodNotAllowed        the path exists, not with this HTTP method
├── SlowRequest             the body did not arrive in time
├── NotAMarket              this node has no market role
└── NotAllowed
    └── Unauthenticated     nobody's money: no API key, no local account

An error class that is not in `MEANINGS` has the meaning of its nearest base there.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from node.errors import InvalidInput, NodeError, NotAllowed


class MalformedJson(InvalidInput):
    """The body is not strict JSON."""

    code = "malformed_json"


class BodyTooLarge(InvalidInput):
    """The body is longer than this door reads."""

    code = "body_too_large"


class WrongMediaType(InvalidInput):
    """The request does not say that its body is JSON."""

    code = "wrong_media_type"


class RangeUnsatisfiable(InvalidInput):
    """None of the bytes asked for exist; `size` is how many there are."""

    code = "range_unsatisfiable"

    def __init__(self, size: int):
        super().__init__(f"the artifact has {size} bytes", field="Range", remedy="ask for fewer")
        self.size = size


class InvalidRequest(NodeError):
    """The JSON is no JSON-RPC 2.0 request."""

    code = "invalid_request"


class UnknownMethod(NodeError):
    """There is no JSON-RPC method of this name."""

    code = "unknown_method"


class MethodNotAllowed(NodeError):
    """The path exists, but not with this HTTP method; `allow` lists those it has."""

    code = "method_not_allowed"

    def __init__(self, method: str, allow: str):
        super().__init__(f"{method} is not possible here", remedy=f"use {allow}")
        self.allow = allow


class SlowRequest(NodeError):
    """The client took too long to send its request."""

    code = "slow_request"


class NotAMarket(NodeError):
    """The command needs a node with the market role, and this one has none."""

    code = "not_a_market"


class Unauthenticated(NotAllowed):
    """The request does not show whose money it may spend."""

    code = "unauthenticated"


class Meaning(NamedTuple):
    """What a code is to a client."""

    status: int
    rpc_code: int
    title: str
    retry_after_s: int | None = None


MEANINGS: Mapping[str, Meaning] = {
    "malformed_json": Meaning(400, -32700, "The body is not strict JSON"),
    "invalid_request": Meaning(400, -32600, "Not a JSON-RPC 2.0 request"),
    "unknown_method": Meaning(404, -32601, "No such method"),
    "invalid_input": Meaning(400, -32602, "A field of the request is wrong"),
    "internal": Meaning(500, -32603, "The node failed"),
    "config": Meaning(500, -32603, "The node is configured wrongly"),
    "task_too_large": Meaning(422, -32001, "The work is larger than this network checks"),
    "reward_below_quote": Meaning(422, -32002, "The reward is below the price"),
    "workload_unavailable": Meaning(422, -32003, "Nobody offers this kind of task"),
    "insufficient_funds": Meaning(402, -32004, "The account cannot pay"),
    "not_allowed": Meaning(403, -32005, "Not the owner"),
    "unauthenticated": Meaning(401, -32006, "The caller is unknown"),
    "not_found": Meaning(404, -32007, "No such thing here"),
    "conflict": Meaning(409, -32008, "Not possible in this state"),
    "unavailable": Meaning(503, -32009, "Temporarily not possible", retry_after_s=5),
    "overloaded": Meaning(429, -32010, "More than this node takes at once", retry_after_s=1),
    "not_a_market": Meaning(501, -32011, "This node is not a market"),
    "slow_request": Meaning(408, -32012, "The request came too slowly"),
    "body_too_large": Meaning(413, -32013, "The body is too large"),
    "wrong_media_type": Meaning(415, -32014, "The body is not announced as JSON"),
    "range_unsatisfiable": Meaning(416, -32015, "No such bytes"),
    "method_not_allowed": Meaning(405, -32016, "No such HTTP method here"),
    "held_by_chain": Meaning(409, -32018, "The chain holds this money"),
    "no_jury": Meaning(503, -32017, "Nobody is there to judge it"),
}
"""Codes of `NodeError`. JSON-RPC's own codes are -32700 to -32600, ours are -32001 downwards."""

INTERNAL = NodeError(
    "an unexpected error", remedy="the node's log has the details; please report them"
)


class Answer(NamedTuple):
    """An HTTP answer of bytes."""

    status: int
    headers: dict[str, str]
    body: bytes


def meaning_of(error: NodeError) -> Meaning:
    """The meaning of the error's class, or of its nearest base that has one."""
    for kind in type(error).__mro__:
        found = MEANINGS.get(kind.__dict__.get("code", ""))
        if found is not None:
            return found
    return MEANINGS[NodeError.code]


def problem(error: NodeError) -> Answer:
    """The error as `application/problem+json` (RFC 9457)."""
    meaning = meaning_of(error)
    body = {
        "type": f"/docs#{error.code}",
        "title": meaning.title,
        "status": meaning.status,
        "code": error.code,
        "detail": error.message,
        "field": error.field,
        "remedy": error.remedy,
    }
    headers = {"content-type": "application/problem+json", **_headers(error, meaning)}
    return Answer(meaning.status, headers, msgspec.json.encode(body))


def _headers(error: NodeError, meaning: Meaning) -> dict[str, str]:
    headers = {}
    if meaning.retry_after_s is not None:
        headers["retry-after"] = str(meaning.retry_after_s)
    if isinstance(error, Unauthenticated):
        headers["www-authenticate"] = "Bearer"
    if isinstance(error, MethodNotAllowed):
        headers["allow"] = error.allow
    if isinstance(error, RangeUnsatisfiable):
        headers["content-range"] = f"bytes */{error.size}"
    return headers


def rpc_error(error: NodeError) -> dict[str, Any]:
    """The error as the `error` member of a JSON-RPC 2.0 response."""
    return {
        "code": meaning_of(error).rpc_code,
        "message": str(error),
        "data": {"code": error.code, "field": error.field, "remedy": error.remedy},
    }
