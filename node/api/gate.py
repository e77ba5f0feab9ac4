"""How many requests run at once: beyond that the answer is 429, at once and cheap."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from node.api.connections import App
from node.api.errors import problem
from node.errors import Overloaded

_OPEN_PATHS = ("/healthz", "/metrics")


class Gate:
    """An ASGI application in front of another, which finds it as `state["gate"]` of its scope."""

    def __init__(self, app: App, max_requests: int) -> None:
        self._app = app
        self._free = max_requests
        self.refused = 0
        """Requests refused so far."""
        answer = problem(
            Overloaded(f"{max_requests} requests are running", remedy="try again in a second")
        )
        self._start = {
            "type": "http.response.start",
            "status": answer.status,
            "headers": [(name.encode(), value.encode()) for name, value in answer.headers.items()]
            + [(b"content-length", str(len(answer.body)).encode())],
        }
        self._body = {"type": "http.response.body", "body": answer.body}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        scope.setdefault("state", {})["gate"] = self
        if scope["type"] != "http" or scope["path"] in _OPEN_PATHS:
            await self._app(scope, receive, send)
        elif self._free <= 0:
            self.refused += 1
            await send(self._start)
            await send(self._body)
        else:
            self._free -= 1
            try:
                await self._app(scope, receive, send)
            finally:
                self._free += 1

    @contextmanager
    def parked(self) -> Iterator[None]:
        """Do not count the request while it only waits; somebody else must bound how many do."""
        self._free += 1
        try:
            yield
        finally:
            self._free -= 1
