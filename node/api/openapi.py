"""The OpenAPI document, written from the command table."""

from pathlib import Path
from typing import Any

import msgspec

from node import __version__
from node.api.answers import MetricsText
from node.api.commands import COMMANDS, Command
from node.api.events import EventStream, JobEvent, TaskEvent
from node.api.openapi_parts import (
    EVENT,
    FAILURE,
    INTRODUCTION,
    LINKS,
    PROBLEM,
    RANGE_HEADERS,
    RPC_OPERATION,
    SCHEMAS,
    UNCHANGED,
    as_json,
)
from node.api.params import metadata

_KEY = "api_key"


def describe() -> dict[str, Any]:
    """The document: every route, its parameters, its answers and its problems."""
    paths: dict[str, dict[str, Any]] = {}
    for command in COMMANDS:
        paths.setdefault(command.path, {})[command.verb.lower()] = _operation(command)
    paths["/rpc"] = {"post": RPC_OPERATION}
    return {
        "openapi": "3.1.0",
        "info": {"title": "tmnode", "version": __version__, "description": INTRODUCTION},
        "paths": paths,
        "components": {
            "schemas": {**_answer_schemas(), "Problem": PROBLEM},
            "securitySchemes": {_KEY: {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(command: Command[Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": command.name,
        "summary": command.summary,
        "parameters": _parameters(command),
        "responses": {**_successes(command), "default": FAILURE},
    }
    if command.in_body:
        required = bool(command.free_fields)
        content = as_json(body_schema(command))
        operation["requestBody"] = {"required": required, "content": content}
    if command.needs_account:
        operation["security"] = [{_KEY: []}, {}]
    return operation


def _parameters(command: Command[Any]) -> list[dict[str, Any]]:
    fields = metadata(command.params)
    found = [_parameter(name, "path", fields[name]) for name in command.path_fields]
    found += [_parameter(title, "header", fields[name]) for name, title in command.headers.items()]
    if not command.in_body:
        found += [_parameter(name, "query", fields[name]) for name in command.free_fields]
    return [*found, *RANGE_HEADERS] if command.answer is Path else found


def _parameter(name: str, place: str, described: Any) -> dict[str, Any]:
    schema = {key: value for key, value in described.items() if key != "description"}
    return {
        "name": name,
        "in": place,
        "required": "default" not in schema,
        "description": described["description"],
        "schema": _without_null(schema),
    }


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """What is left out is left out: neither a query nor a header can hold null."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind.get("type") != "null"]
    if not kinds:
        return schema
    kept = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
    return {**kept, **kinds[0]}


def body_schema(command: Command[Any]) -> dict[str, Any]:
    """JSON schema of the body of a command that takes one."""
    whole = msgspec.json.schema(command.params)["$defs"][command.params.__name__]
    names = command.free_fields
    return {
        "type": "object",
        "properties": {name: whole.get("properties", {})[name] for name in names},
        "required": [name for name in whole.get("required", ()) if name in names],
        "additionalProperties": False,
    }


def _successes(command: Command[Any]) -> dict[str, Any]:
    """The answers that are no problems, by status."""
    found = {str(command.status): _success(command)}
    if command.name == "submit":
        found[str(command.status)]["links"] = LINKS
    if command.answer is Path:
        found |= {"206": {**_success(command), "description": "A range of it."}, "304": UNCHANGED}
    if command.name == "task-events":
        found["204"] = {"description": "The task's last phase was seen; there is nothing more."}
    return found


def _success(command: Command[Any]) -> dict[str, Any]:
    content: dict[str, Any]
    if command.answer is Path:
        content = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    elif command.answer is EventStream:
        content = {"text/event-stream": {"schema": EVENT}}
    elif command.answer is MetricsText:
        content = {"text/plain": {"schema": {"type": "string"}}}
    elif command.answer is msgspec.Raw:
        content = as_json({"type": "object"})
    else:
        content = as_json({"$ref": SCHEMAS + command.answer.__name__})
    return {"description": command.summary, "content": content}


def _answer_schemas() -> dict[str, Any]:
    types = {command.answer for command in COMMANDS} - {Path, EventStream, MetricsText, msgspec.Raw}
    types |= {TaskEvent, JobEvent}
    _, schemas = msgspec.json.schema_components(
        sorted(types, key=lambda kind: str(kind.__name__)), ref_template=SCHEMAS + "{name}"
    )
    return schemas
