"""Who answers what: the tables of handlers, and how a handler's end becomes an answer.

Shared by all networks and free of any: a request comes in as bytes and goes out as a frame kind
and bytes, and no error of a handler gets past this file.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import trio

from p2p.errors import MalformedMessage, RequestRefused
from p2p.limits import Limits
from p2p.messages import M, Message, decode, encode
from p2p.network import BulkHandler, BulkSource
from p2p.requests import Kind, decode_refusal, encode_refusal
from p2p.transfer import Ask

A = TypeVar("A")

logger = logging.getLogger(__name__)


class RequestDesk:
    """Answers requests with the handler registered for their type."""

    def __init__(self, limits: Limits) -> None:
        self._timeout_s = limits.handler_timeout_s
        self._max_bytes = limits.max_frame_bytes
        # A handler takes exactly the type it is registered for, which no type can say of a dict.
        self._handlers: dict[type[Message], Callable[[str, Any], Awaitable[Message]]] = {}

    def serve(self, request_type: type[M], handler: Callable[[str, M], Awaitable[Message]]) -> None:
        """Register the handler. Raises ValueError if the type has one."""
        if request_type in self._handlers:
            raise ValueError(f"{request_type.__name__} is already served")
        self._handlers[request_type] = handler

    async def answer(self, sender: str, payload: bytes) -> tuple[Kind, bytes]:
        """The answer to a request: a response or a refusal, whatever the handler does."""
        try:
            return Kind.RESPONSE, await self._handle(sender, payload)
        except RequestRefused as refusal:
            return Kind.REFUSAL, encode_refusal(refusal)

    async def _handle(self, sender: str, payload: bytes) -> bytes:
        try:
            request = decode(payload)
        except MalformedMessage as error:
            raise RequestRefused("malformed", str(error)) from error
        handler = self._handlers.get(type(request))
        if handler is None:
            raise RequestRefused("unknown", f"{type(request).__name__} is not served here")
        response = await _guarded(
            type(request).__name__, self._timeout_s, lambda: _encoded(handler(sender, request))
        )
        if len(response) > self._max_bytes:
            raise RequestRefused("internal", f"a response of {len(response)} bytes")
        return response


class BulkDesk:
    """Finds bodies with the handler registered for their name."""

    def __init__(self, limits: Limits) -> None:
        self._timeout_s = limits.handler_timeout_s
        self._handlers: dict[str, BulkHandler] = {}

    def serve(self, name: str, handler: BulkHandler) -> None:
        """Register the handler. Raises ValueError if the name has one."""
        if name in self._handlers:
            raise ValueError(f"{name} is already served")
        self._handlers[name] = handler

    async def find(self, sender: str, ask: Ask) -> BulkSource:
        """The body asked for. Raises RequestRefused and nothing else."""
        handler = self._handlers.get(ask.name)
        if handler is None:
            raise RequestRefused("unknown", "no such bulk name is served here")
        return await _guarded(ask.name, self._timeout_s, lambda: handler(sender, ask.argument))


BUSY = encode_refusal(RequestRefused("busy", "too many of your requests are being served"))
"""The payload that refuses a request without looking at it."""


def read_answer(kind: Kind, payload: bytes) -> Message:
    """The message of an answer. Raises RequestRefused, also for an answer that cannot be read."""
    if kind is not Kind.RESPONSE:
        raise decode_refusal(payload)
    try:
        return decode(payload)
    except MalformedMessage as error:
        raise RequestRefused("malformed", f"the peer's response: {error}") from error


async def _encoded(response: Awaitable[Message]) -> bytes:
    return encode(await response)


async def _guarded(what: str, timeout_s: float, handle: Callable[[], Awaitable[A]]) -> A:
    with trio.move_on_after(timeout_s):
        try:
            return await handle()
        except RequestRefused:
            raise
        except Exception as error:
            # The guard around what strangers can set off: a fault of one handler refuses one
            # request and ends nothing else.
            logger.exception("handler of %s failed", what)
            raise RequestRefused("internal", "the handler failed") from error
    raise RequestRefused("timeout", f"the handler took more than {timeout_s} s")
