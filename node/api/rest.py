"""The HTTP application: REST routes from the command table, JSON-RPC, and their description."""

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from node.api.answers import MetricsText
from node.api.body import check_media_type, header, parse_json, read_body
from node.api.callers import Caller, Waiting, identify
from node.api.commands import COMMANDS, Command, perform
from node.api.connections import App
from node.api.docs_page import docs_page
from node.api.downloads import send_file
from node.api.errors import (
    INTERNAL,
    Answer,
    InvalidRequest,
    MalformedJson,
    MethodNotAllowed,
    problem,
)
from node.api.events import EventStream, send_events
from node.api.observed import Observed
from node.api.openapi import describe
from node.api.rpc import answer_rpc, failed
from node.api.service import Service
from node.errors import InvalidInput, NodeError, NotFound
from node.metrics import CONTENT_TYPE

_JSON = "application/json"
_DOCS_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
_log = logging.getLogger(__name__)

Endpoint = Callable[[Request], Awaitable[Response]]


def build_app(service: Service) -> App:
    """The ASGI application of a node.

    Bodies are read, checked and answered by hand: a way through pydantic models costs more than
    everything else in a request together, and importing it a fifth of a node's start.
    """
    app = Starlette()
    app.router.redirect_slashes = False
    for command in COMMANDS:
        app.add_route(command.path, _endpoint(service, command), methods=[command.verb])
    app.add_route("/rpc", _rpc_endpoint(service), methods=["POST"])
    _add_descriptions(app)
    app.add_exception_handler(HTTPException, _unrouted)
    return Observed(app, service.requests)


def _endpoint(service: Service, command: Command[Any]) -> Endpoint:
    async def handle(request: Request) -> Response:
        request.scope["state"]["command"] = command.name
        caller = _caller(service, request)
        values = await _values(service, command, request)
        result = await perform(command, service, caller, values, strict=command.in_body)
        if isinstance(result, Path):
            return _FileResponse(result)
        if isinstance(result, EventStream):
            return _EventResponse(result)
        if isinstance(result, MetricsText):
            return Response(result.text, media_type=CONTENT_TYPE)
        return Response(msgspec.json.encode(result), command.status, media_type=_JSON)

    return _guarded(handle)


def _guarded(handle: Endpoint) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        try:
            return await handle(request)
        except NodeError as error:
            return _response(problem(error))
        except Exception:
            # The outermost guard against requests of strangers: one of them never ends the node.
            _log.exception("%s %s failed", request.method, request.url.path)
            return _response(problem(INTERNAL))

    return endpoint


def _response(answer: Answer) -> Response:
    return Response(answer.body, answer.status, answer.headers)


def _caller(service: Service, request: Request) -> Caller:
    return identify(service, request.scope, _waiting(request))


def _waiting(request: Request) -> Waiting:
    """Waiting is pointless once the client hung up, or the server stops."""

    async def hung_up() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    state = request.scope.get("state", {})
    interruptions = (hung_up, state["stopping"].wait) if "stopping" in state else (hung_up,)
    return (
        Waiting(interruptions, state["gate"].parked) if "gate" in state else Waiting(interruptions)
    )


async def _values(service: Service, command: Command[Any], request: Request) -> dict[str, object]:
    """Parameters from the path, the headers and either the body or the query."""
    values: dict[str, object] = dict(request.path_params)
    for source in (_from_headers(command, request), await _from_rest(service, command, request)):
        for name, value in source.items():
            if name in values:
                raise InvalidInput("is given twice", field=name[:60], remedy="give it once")
            values[name] = value
    return values


def _from_headers(command: Command[Any], request: Request) -> dict[str, object]:
    found = {
        name: header(request.scope["headers"], title.lower().encode())
        for name, title in command.headers.items()
    }
    return {name: value for name, value in found.items() if value is not None}


async def _from_rest(
    service: Service, command: Command[Any], request: Request
) -> dict[str, object]:
    if not command.in_body:
        return _unique(request.query_params.multi_items())
    value = await _json_body(service, request, optional=not command.free_fields)
    if not isinstance(value, dict):
        raise InvalidInput("the body must be a JSON object", remedy="send the fields by name")
    return value


def _unique(pairs: list[tuple[str, str]]) -> dict[str, object]:
    values: dict[str, object] = {}
    for name, value in pairs:
        if name in values:
            raise InvalidInput("is given twice", field=name[:60], remedy="give it once")
        values[name] = value
    return values


async def _json_body(service: Service, request: Request, *, optional: bool = False) -> object:
    headers = request.scope["headers"]
    if optional and header(headers, b"content-type") is None:
        return {}
    check_media_type(headers)
    body = await read_body(
        headers,
        request.receive,
        max_bytes=service.max_body_bytes,
        timeout_s=service.max_body_s,
    )
    return {} if optional and not body else parse_json(body)


def _rpc_endpoint(service: Service) -> Endpoint:
    async def handle(request: Request) -> Response:
        request.scope["state"]["command"] = "rpc"
        caller = _caller(service, request)
        try:
            value = await _json_body(service, request)
            answer = await answer_rpc(service, caller, value)
        except MalformedJson as error:
            answer = failed(error)
        if answer is None:
            return Response(status_code=204)
        return Response(answer, media_type=_JSON)

    return _guarded(handle)


class _FileResponse(Response):
    """An artifact, streamed from its file."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send_file(scope, receive, send, self._path)
        except NodeError as error:
            await _response(problem(error))(scope, receive, send)


class _EventResponse(Response):
    """Server-sent events, as they happen."""

    def __init__(self, stream: EventStream) -> None:
        super().__init__()
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send_events(send, self._stream, only_headers=scope["method"] == "HEAD")
        except NodeError as error:
            await _response(problem(error))(scope, receive, send)


async def _unrouted(request: Request, error: Exception) -> Response:
    """Paths and methods that no route has."""
    if not isinstance(error, HTTPException):
        raise error
    if error.status_code == 405:
        return _response(problem(MethodNotAllowed(request.method[:20], _allowed(request))))
    if error.status_code == 404:
        return _response(problem(NotFound("there is no such path", remedy="see /docs")))
    return _response(problem(InvalidRequest(str(error.detail))))


def _allowed(request: Request) -> str:
    """All methods of the path: each verb has a route of its own, and the router names one's."""
    routes = (route for route in request.app.routes if isinstance(route, Route))
    found = (route for route in routes if route.path_regex.fullmatch(request.url.path))
    return ", ".join(sorted({method for route in found for method in route.methods or ()}))


def _add_descriptions(app: Starlette) -> None:
    description = Response(msgspec.json.encode(describe()), media_type=_JSON)
    page = Response(
        docs_page(),
        media_type="text/html",
        headers={"content-security-policy": _DOCS_POLICY, "x-content-type-options": "nosniff"},
    )

    async def show_description(_: Request) -> Response:
        return description

    async def show_page(_: Request) -> Response:
        return page

    app.add_route("/openapi.json", show_description)
    app.add_route("/docs", show_page)
