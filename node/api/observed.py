"""Every request under an id of its own: in its answer, in whatever it logs, and in the metrics."""

import logging
import secrets
import time
from typing import Any

from node.api.connections import App, Receive, Send
from node.logs import about
from node.metrics import RequestMeter

UNKNOWN = "none"
"""Command of a request to a path that has none."""
NO_ANSWER = 499
"""Status of a request whose client was gone before the answer began."""
_ID_BYTES = 8
_log = logging.getLogger(__name__)


class Observed:
    """An ASGI application around another, which names the command as `state["command"]`.

    The id is never the client's, so that nobody writes into the log or takes another's.
    """

    def __init__(self, app: App, meter: RequestMeter) -> None:
        self._app = app
        self._meter = meter

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = secrets.token_hex(_ID_BYTES)
        state = scope.setdefault("state", {})
        if "gate" in state:
            self._meter.refused = state["gate"].refused
        status, begun = NO_ANSWER, time.perf_counter()
        ended = None

        async def observe(message: Any) -> None:
            nonlocal status, ended
            if message["type"] == "http.response.start":
                status, ended = message["status"], time.perf_counter()
                named = (b"x-request-id", request_id.encode())
                message = {**message, "headers": [*message["headers"], named]}
            await send(message)

        with about(request=request_id):
            try:
                await self._app(scope, receive, observe)
            finally:
                seconds = (ended or time.perf_counter()) - begun
                command = state.get("command", UNKNOWN)
                self._meter.add(command, status, seconds)
                _log.debug("%s: %d after %.1f ms", command, status, seconds * 1000)
