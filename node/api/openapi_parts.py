"""Parts of the OpenAPI document that no command says of itself."""

from typing import Any

from node.api.errors import MEANINGS
from node.api.rpc import MAX_BATCH

SCHEMAS = "#/components/schemas/"


def as_json(schema: dict[str, Any]) -> dict[str, Any]:
    """The content of a JSON body."""
    return {"application/json": {"schema": schema}}


INTRODUCTION = (
    "Buy GPU work, follow it, fetch what came out. Amounts are decimal strings of CPC, times are"
    " Unix seconds. The same commands are JSON-RPC 2.0 methods at /rpc. Every answer that is not a"
    " success is a problem (RFC 9457) with a code, the field and a remedy; 429 and 503 say in"
    " Retry-After when to try again."
)

_TEXT_OR_NULL = {"type": ["string", "null"]}
PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "code", "detail", "field", "remedy"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "enum": sorted(MEANINGS)},
        "detail": {"type": "string"},
        "field": _TEXT_OR_NULL,
        "remedy": _TEXT_OR_NULL,
    },
}
FAILURE = {
    "description": "What is wrong, where, and what to do about it.",
    "content": {"application/problem+json": {"schema": {"$ref": SCHEMAS + "Problem"}}},
}
EVENT = {
    "description": "Of each event of the stream.",
    "type": "object",
    "required": ["data"],
    "properties": {
        "id": {"type": "string", "pattern": "^[0-9]+$"},
        "event": {"type": "string", "enum": ["task", "job", "reset"]},
        "retry": {"type": ["integer", "string"]},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {
                "anyOf": [
                    {"$ref": SCHEMAS + "TaskEvent"},
                    {"$ref": SCHEMAS + "JobEvent"},
                    {"type": "object", "maxProperties": 0, "description": "Of a `reset`."},
                ]
            },
        },
    },
}
UNCHANGED: dict[str, Any] = {"description": "You have it already; an artifact never changes."}

LINKS = {
    operation: {
        "operationId": operation,
        "parameters": {"task_id": "$response.body#/task_id"},
        "description": summary,
    }
    for operation, summary in (
        ("task", "Look at the task."),
        ("wait", "Wait for its next phase."),
        ("cancel", "Cancel it."),
        ("receipt", "Its receipt, once it is anchored."),
    )
}
"""Where a bought task leads."""

RANGE_HEADERS = [
    {
        "name": name,
        "in": "header",
        "required": False,
        "description": description,
        "schema": {"type": "string", "examples": [example]},
    }
    for name, description, example in (
        ("Range", "One range of bytes; anything else gets the whole.", "bytes=0-1023"),
        ("If-None-Match", "The ETag that you have.", '"abab"'),
    )
]

_RPC_REQUEST = {
    "type": "object",
    "required": ["jsonrpc", "method"],
    "properties": {
        "jsonrpc": {"const": "2.0"},
        "method": {"type": "string", "examples": ["tm_status"]},
        "params": {"anyOf": [{"type": "object"}, {"type": "array"}]},
        "id": {"type": ["string", "integer", "null"]},
    },
    "additionalProperties": False,
}
_RPC_RESPONSE = {
    "type": "object",
    "required": ["jsonrpc", "id"],
    "properties": {
        "jsonrpc": {"const": "2.0"},
        "id": {},
        "result": {},
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {
                "code": {"type": "integer"},
                "message": {"type": "string"},
                "data": {"type": "object"},
            },
        },
    },
    "oneOf": [{"required": ["result"]}, {"required": ["error"]}],
    "additionalProperties": False,
}
RPC_OPERATION = {
    "operationId": "rpc",
    "summary": "JSON-RPC 2.0: one request, or a batch.",
    "requestBody": {
        "required": True,
        "content": as_json(
            {
                "anyOf": [
                    _RPC_REQUEST,
                    {
                        "type": "array",
                        "items": _RPC_REQUEST,
                        "minItems": 1,
                        "maxItems": MAX_BATCH,
                    },
                ]
            }
        ),
    },
    "responses": {
        "200": {
            "description": "The response, or those of a batch; errors are inside.",
            "content": as_json(
                {"anyOf": [_RPC_RESPONSE, {"type": "array", "items": _RPC_RESPONSE}]}
            ),
        },
        "204": {"description": "There were only notifications."},
        "default": FAILURE,
    },
    "security": [{"api_key": []}, {}],
}
