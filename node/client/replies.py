"""From an HTTP reply to a typed answer or to the error the node meant."""

from typing import TypeVar

import msgspec

import node.api.errors
import node.errors
from node.client.calls import Call
from node.errors import NodeError, Unavailable

_T = TypeVar("_T")

_NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _Problem(msgspec.Struct, frozen=True):
    code: str
    detail: str
    field: str | None = None
    remedy: str | None = None


def _errors_by_code() -> dict[str, type[NodeError]]:
    """The classes that can be made of a message, a field and a remedy, by their code."""
    found = [*vars(node.api.errors).values(), *vars(node.errors).values()]
    return {
        kind.code: kind
        for kind in found
        if isinstance(kind, type)
        and issubclass(kind, NodeError)
        and kind.__init__ is NodeError.__init__
    }


_ERRORS = _errors_by_code()


def read_reply(call: Call[_T], url: str, status: int, content: bytes) -> _T:
    """The answer; raises the NodeError of a problem, or Unavailable for what is no answer."""
    if status >= 400:
        raise _error(url, status, content)
    if call.answer is bytes:
        return content  # type: ignore[return-value]
    try:
        return msgspec.json.decode(content, type=call.answer)
    except _NOT_JSON as error:
        remedy = "is it a tmnode of this version?"
        message = f"gave an answer to {call.verb} {call.path} that cannot be read: {error}"
        raise Unavailable(message, field=url, remedy=remedy) from error


def _error(url: str, status: int, content: bytes) -> NodeError:
    try:
        problem = msgspec.json.decode(content, type=_Problem)
    except _NOT_JSON:
        return Unavailable(f"answered {status} without a reason", field=url)
    kind = _ERRORS.get(problem.code, NodeError)
    return kind(problem.detail, field=problem.field, remedy=problem.remedy)
