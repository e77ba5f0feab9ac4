"""The OpenAPI document, written from the command table."""

from pathlib import Path
from typing import Any

import msgspec

from node import __version__
from node.api.answers import MetricsText
from node.api.commands import COMMANDS, Command
from node.api.errors import MEANINGS
from node.api.events import EventStream
from node.api.params import metadata

_SCHEMAS = "#/components/schemas/"
_KEY = "api_key"


def describe() -> dict[str, Any]:
    """The document: every route, its parameters, its answers and its problems."""
    paths: dict[str, dict[str, Any]] = {}
    for command in COMMANDS:
        paths.setdefault(command.path, {})[command.verb.lower()] = _operation(command)
    return {
        "openapi": "3.1.0",
        "info": {"title": "tmnode", "version": __version__, "description": _INTRODUCTION},
        "paths": paths,
        "components": {
            "schemas": {**_answer_schemas(), "Problem": _PROBLEM},
            "securitySchemes": {_KEY: {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(command: Command[Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": command.name,
        "summary": command.summary,
        "parameters": _parameters(command),
        "responses": {str(command.status): _success(command), "default": _FAILURE},
    }
    if command.in_body and command.free_fields:
        schema = body_schema(command)
        operation["requestBody"] = {"required": True, "content": _json(schema)}
    if command.needs_account:
        operation["security"] = [{_KEY: []}, {}]
    return operation


def _parameters(command: Command[Any]) -> list[dict[str, Any]]:
    fields = metadata(command.params)
    found = [_parameter(name, "path", fields[name]) for name in command.path_fields]
    found += [_parameter(title, "header", fields[name]) for name, title in command.headers.items()]
    if not command.in_body:
        found += [_parameter(name, "query", fields[name]) for name in command.free_fields]
    return found


def _parameter(name: str, place: str, described: Any) -> dict[str, Any]:
    schema = {key: value for key, value in described.items() if key != "description"}
    return {
        "name": name,
        "in": place,
        "required": place == "path",
        "description": described["description"],
        "schema": schema,
    }


def body_schema(command: Command[Any]) -> dict[str, Any]:
    """JSON schema of the body of a command that takes one."""
    whole = msgspec.json.schema(command.params)["$defs"][command.params.__name__]
    names = command.free_fields
    return {
        "type": "object",
        "properties": {name: whole["properties"][name] for name in names},
        "required": [name for name in whole["required"] if name in names],
        "additionalProperties": False,
    }


def _success(command: Command[Any]) -> dict[str, Any]:
    if command.answer is Path:
        content = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    elif command.answer is EventStream:
        content = {"text/event-stream": {"schema": {"type": "string"}}}
    elif command.answer is MetricsText:
        content = {"text/plain": {"schema": {"type": "string"}}}
    elif command.answer is msgspec.Raw:
        content = _json({"type": "object"})
    else:
        content = _json({"$ref": _SCHEMAS + command.answer.__name__})
    return {"description": command.summary, "content": content}


def _answer_schemas() -> dict[str, Any]:
    types = {command.answer for command in COMMANDS} - {Path, EventStream, MetricsText, msgspec.Raw}
    _, schemas = msgspec.json.schema_components(
        sorted(types, key=lambda kind: str(kind.__name__)), ref_template=_SCHEMAS + "{name}"
    )
    return schemas


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


_INTRODUCTION = (
    "Buy GPU work, follow it, fetch what came out. Amounts are decimal strings of CPC, times are"
    " Unix seconds. The same commands are JSON-RPC 2.0 methods at /rpc."
)
_TEXT_OR_NULL = {"type": ["string", "null"]}
_PROBLEM = {
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
_FAILURE = {
    "description": "What is wrong, where, and what to do about it.",
    "content": {"application/problem+json": {"schema": {"$ref": _SCHEMAS + "Problem"}}},
}
