import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest
from click.testing import CliRunner, Result

from node.cli.main import tmnode


class Door:
    """A loopback HTTP server that answers `VERB /path` from a table and keeps what it was sent."""

    def __init__(self) -> None:
        self.answers: dict[str, list[tuple[int, bytes | None]]] = {}
        self.requests: list[tuple[str, dict[str, str], Any]] = []

    def answer(self, route: str, body: Any, status: int = 200) -> None:
        """Answer the next request of the route; the last answer is given again and again.

        None hangs up instead.
        """
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        self.answers.setdefault(route, []).append((status, content))

    def take(self, route: str) -> tuple[int, bytes | None]:
        waiting = self.answers.get(route, [(404, b"{}")])
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]


class _Handler(BaseHTTPRequestHandler):
    door: ClassVar[Door]

    def _serve(self) -> None:
        length = int(self.headers.get("content-length", 0))
        body = self.rfile.read(length)
        route = f"{self.command} {self.path}"
        self.door.requests.append((route, dict(self.headers), json.loads(body) if body else None))
        status, content = self.door.take(route)
        if content is None:
            return
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = _serve  # noqa: N815 - names that http.server looks for

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    """What TMNODE_API names during the test."""
    door = Door()
    handler = type("Handler", (_Handler,), {"door": door})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("TMNODE_API", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.delenv("TMNODE_API_KEY", raising=False)
    yield door
    server.shutdown()
    thread.join()
    server.server_close()


class Terminal:
    """Runs commands in this process, as a shell would."""

    def run(self, *arguments: str, given: str | None = None) -> Result:
        result = CliRunner().invoke(tmnode, arguments, prog_name="tmnode", input=given)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    def json(self, *arguments: str) -> Any:
        result = self.run(*arguments, "--json")
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    for name in ("TMNODE_PASSPHRASE", "TMNODE_PASSPHRASE_FILE"):
        monkeypatch.delenv(name, raising=False)
    return Terminal()
