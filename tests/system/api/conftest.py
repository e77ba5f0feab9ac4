import importlib.util
import logging
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from node.api.rest import build_app
from node.api.server import Bound, ServerLimits, serve_api
from node.api.service import Service

HUGE = 100 * 1000 * 1000
TWIN = Path(__file__).parents[2] / "unit" / "node" / "api" / "twin.py"


@pytest.fixture(scope="session")
def twin():
    """The market in a dictionary of the unit tests."""
    spec = importlib.util.spec_from_file_location("api_twin", TWIN)
    module = importlib.util.module_from_spec(spec)
    sys.modules["api_twin"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def market(twin):
    return twin.TwinMarket()


@pytest.fixture
def service(twin, market) -> Service:
    return Service(
        node=twin.TwinNode(), market_role=market, local_account=twin.LOCAL, max_body_s=0.2
    )


@pytest.fixture
def order() -> dict[str, object]:
    """The specification's example."""
    return {
        "challenge_type": "synthetic",
        "payload": {"seed": "1234abcd5678ef90", "matrix_size": 1024, "iterations": 100},
        "reward": "10.0",
    }


@pytest.fixture
def big_file(market, tmp_path) -> str:
    """Digest of an artifact that fits into no socket's buffers (its name is made up)."""
    name = "ab" * 32
    with (tmp_path / name).open("wb") as file:
        file.truncate(HUGE)
    market.files[name] = tmp_path / name
    return name


@pytest.fixture(autouse=True)
def silence(caplog):
    """A server that logs anything fails the test."""
    with caplog.at_level(logging.INFO):
        yield
    said = [record for record in caplog.records if not record.name.startswith("http")]
    assert [record.getMessage() for record in said] == []


@pytest.fixture
def serving():
    @asynccontextmanager
    async def serve(service: Service, limits: ServerLimits | None = None) -> AsyncIterator[Bound]:
        app = build_app(service)

        async def run(task_status: trio.TaskStatus[Bound]) -> None:
            await serve_api(app, "127.0.0.1", 0, limits=limits, task_status=task_status)

        async with trio.open_nursery() as nursery:
            with trio.fail_after(20):
                yield await nursery.start(run)
            nursery.cancel_scope.cancel()

    return serve


@pytest.fixture
async def bound(service, serving) -> AsyncIterator[Bound]:
    async with serving(service) as where:
        yield where


class Wire:
    """HTTP by hand."""

    huge = HUGE

    def get(self, path: str, bound: Bound, *more: str) -> bytes:
        """The bytes of a GET."""
        lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{bound.port}", *more]
        return "\r\n".join(lines).encode() + b"\r\n\r\n"

    def post(self, path: str, bound: Bound, body: bytes) -> bytes:
        """The bytes of a POST of JSON."""
        lines = [
            f"POST {path} HTTP/1.1",
            f"Host: 127.0.0.1:{bound.port}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
        ]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    async def open(self, bound: Bound) -> trio.SocketStream:
        """A connection."""
        return await trio.open_tcp_stream(bound.host, bound.port)

    async def exchange(self, bound: Bound, data: bytes) -> bytes:
        """What comes back until the server closes."""
        async with await self.open(bound) as stream:
            await stream.send_all(data)
            return b"".join([part async for part in stream])

    async def status(self, stream: trio.SocketStream) -> int:
        """Status of one answer with a content-length; the connection stays open."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += await stream.receive_some(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        while len(body) < int(fields[b"content-length"]):
            body += await stream.receive_some(65536)
        return int(head.split()[1])

    async def closed(self, stream: trio.SocketStream) -> bool:
        """Whether the server ends the connection without another byte; waits until it is clear."""
        try:
            return await stream.receive_some(1) == b""
        except trio.BrokenResourceError:
            return True

    async def until(self, condition: Callable[[], object]) -> None:
        """Let the other tasks run until something holds."""
        while not condition():
            await trio.lowlevel.checkpoint()


@pytest.fixture
def wire() -> Wire:
    return Wire()
