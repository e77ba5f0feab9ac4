"""JSON-RPC 2.0 over the command table: single requests, batches, notifications."""

import logging
import time
from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
import trio

from node.api.callers import Caller
from node.api.commands import BY_METHOD, Command, perform
from node.api.errors import INTERNAL, InvalidRequest, UnknownMethod, meaning_of, rpc_error
from node.api.service import Service
from node.errors import InvalidInput, NodeError, Unavailable

MAX_BATCH = 100
MAX_BATCH_S = 90.0
_MEMBERS = frozenset({"jsonrpc", "method", "params", "id"})

_log = logging.getLogger(__name__)


class _Request(NamedTuple):
    method: str
    params: object
    id: object
    wants_answer: bool


async def answer_rpc(service: Service, caller: Caller, value: object) -> bytes | None:
    """The response to a parsed body; None if nobody asked for one (only notifications)."""
    if not isinstance(value, list):
        response = await _respond(service, caller, value)
        return None if response is None else msgspec.json.encode(response)
    if not 1 <= len(value) <= MAX_BATCH:
        return failed(
            InvalidRequest(
                f"a batch of {len(value)} requests", remedy=f"send 1 to {MAX_BATCH} at once"
            )
        )
    responses = await _respond_in_order(service, caller, value)
    return msgspec.json.encode(responses) if responses else None


def failed(error: NodeError, request_id: object = None) -> bytes:
    """The response to a body whose request could not be made out."""
    return msgspec.json.encode(_failure(error, request_id))


def _failure(error: NodeError, request_id: object) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "error": rpc_error(error), "id": request_id}


async def _respond_in_order(
    service: Service, caller: Caller, values: list[object]
) -> list[Mapping[str, Any]]:
    """One after the other, in the caller's order; what the time is too short for is refused."""
    responses = []
    left = deque(values)
    with trio.move_on_after(MAX_BATCH_S):
        while left:
            responses.append(await _respond(service, caller, left[0]))
            left.popleft()
    late = Unavailable(f"the batch was not done after {MAX_BATCH_S:g} s", remedy="send fewer")
    responses.extend(_failure(late, _id_of(value)) for value in left if _wants_answer(value))
    return [response for response in responses if response is not None]


def _wants_answer(value: object) -> bool:
    return not isinstance(value, dict) or "id" in value


async def _respond(service: Service, caller: Caller, value: object) -> Mapping[str, Any] | None:
    try:
        request = _parse(value)
    except NodeError as error:
        return _failure(error, _id_of(value))
    try:
        command, params = _resolve(request)
        result = await _metered(command, service, caller, params)
        response = {"jsonrpc": "2.0", "result": result, "id": request.id}
    except NodeError as error:
        response = _failure(error, request.id)
    except Exception:
        # The outermost guard against requests of strangers: one of them never ends the node.
        _log.exception("JSON-RPC %s failed", request.method)
        response = _failure(INTERNAL, request.id)
    return response if request.wants_answer else None


async def _metered(
    command: Command[Any], service: Service, caller: Caller, params: object
) -> object:
    """Perform and count, under the status that REST would have answered."""
    status, begun = meaning_of(INTERNAL).status, time.perf_counter()
    try:
        result = await perform(command, service, caller, params)
        status = command.status
    except NodeError as error:
        status = meaning_of(error).status
        raise
    finally:
        service.requests.add(command.name, status, time.perf_counter() - begun)
    return result


def _parse(value: object) -> _Request:
    if not isinstance(value, dict):
        raise InvalidRequest("is no object", remedy='send {"jsonrpc": "2.0", "method": …}')
    if value.get("jsonrpc") != "2.0":
        raise InvalidRequest('must be "2.0"', field="jsonrpc", remedy='add "jsonrpc": "2.0"')
    method = value.get("method")
    if not isinstance(method, str):
        raise InvalidRequest("must be a string", field="method", remedy=_methods())
    unknown = sorted(value.keys() - _MEMBERS)
    if unknown:
        raise InvalidRequest("is no member of a request", field=unknown[0][:60])
    if not _is_id(value.get("id")):
        raise InvalidRequest("must be a string, an integer or null", field="id")
    if not isinstance(value.get("params", {}), dict | list):
        raise InvalidRequest("must be an object or an array", field="params")
    return _Request(method, value.get("params", {}), value.get("id"), _wants_answer(value))


def _is_id(value: object) -> bool:
    return value is None or (isinstance(value, str | int | float) and not isinstance(value, bool))


def _id_of(value: object) -> object:
    request_id = value.get("id") if isinstance(value, dict) else None
    return request_id if _is_id(request_id) else None


def _resolve(request: _Request) -> tuple[Command[Any], object]:
    command = BY_METHOD.get(request.method)
    if command is None:
        raise UnknownMethod(
            f"there is no method {request.method[:60]!r}", field="method", remedy=_methods()
        )
    return command, _by_name(command, request.params)


def _by_name(command: Command[Any], params: object) -> object:
    """Parameters by position take the names of the fields in their order."""
    if not isinstance(params, list):
        return params
    names = command.params.__struct_fields__
    if len(params) > len(names):
        raise InvalidInput(
            f"{len(params)} parameters, but there are only {len(names)}",
            field="params",
            remedy=f"send {', '.join(names) or 'none'}",
        )
    return dict(zip(names, params, strict=False))


def _methods() -> str:
    return f"methods: {', '.join(sorted(BY_METHOD))}"
