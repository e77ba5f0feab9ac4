"""A development chain in memory, its client, and ways to break both."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from node.l1.client import HttpL1Client
from node.l1.devchain.config import DevChainConfig, Genesis
from node.l1.devchain.node import DevChain, open_chain
from node.l1.devchain.server import App, build_app
from node.l1.keys import AccountKey
from storage.database import open_database
from storage.memory import MemoryStore

GENESIS_TIME = 1_700_000_000
VECTORS = Path(__file__).parents[3] / "vectors"

Hook = Callable[[httpx.Request], None]


def key_of(number: int) -> AccountKey:
    """The same key for the same number."""
    return AccountKey(number.to_bytes(32, "big"))


class World:
    """A chain without sockets. Its clock moves when told to, or is trio's if it is `virtual`."""

    chain: DevChain
    app: App

    def __init__(self, config: DevChainConfig, *, virtual: bool) -> None:
        self.config = config
        self.store = MemoryStore()
        self.seconds = 0.0
        self.virtual = virtual
        self.started_at: float | None = None
        self.down = False
        self.requests: list[str] = []
        self.before_request: Hook = _nothing
        self.after_request: Hook = _nothing
        self.http = httpx.AsyncClient(transport=_Transport(self), base_url="http://l1")
        self.client = HttpL1Client("http://l1", self.http)

    def now(self) -> float:
        if self.started_at is None:
            self.started_at = trio.current_time()
        passed = trio.current_time() - self.started_at if self.virtual else self.seconds
        return self.config.genesis.genesis_time + passed

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The chain's process: leaving it forgets all that is only in memory."""
        async with open_database(self.store) as db:
            self.chain = await open_chain(self.config, db, self.now)
            self.app = build_app(self.chain)
            yield

    async def mine(self, count: int = 1) -> None:
        """Move the clock to the next slots and make their blocks."""
        for _ in range(count):
            await self.mine_until((self.chain.tip.height + 1) * self.config.block_time_s)

    async def mine_until(self, seconds: float) -> None:
        """Move the clock, making every block that is due on the way in its slot."""
        block_time_s = self.config.block_time_s
        while (slot := (self.chain.tip.height + 1) * block_time_s) <= seconds:
            self.seconds = max(self.seconds, slot)
            await self.chain.produce()
        self.seconds = max(self.seconds, seconds)

    def blocks(self) -> list[dict[str, Any]]:
        """All blocks so far, as JSON."""
        contents = [self.chain.block(height) for height in range(self.chain.tip.height + 1)]
        return [json.loads(content) for content in contents if content]

    def transactions(self) -> list[dict[str, Any]]:
        """Everything that is in a block."""
        return [tx for block in self.blocks() for tx in block["txs"]]


class _Transport(httpx.AsyncBaseTransport):
    def __init__(self, world: World) -> None:
        self._world = world

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._world.requests.append(f"{request.method} {request.url.path}")
        if self._world.down:
            raise httpx.ConnectError("connection refused")
        self._world.before_request(request)
        # The application of the moment: a client outlives the process it talks to.
        transport = httpx.ASGITransport(app=self._world.app)
        response = await transport.handle_async_request(request)
        self._world.after_request(request)
        return response


def _nothing(_request: httpx.Request) -> None:
    pass


@pytest.fixture(scope="session")
def vectors() -> dict[str, Any]:
    return json.loads((VECTORS / "l1.json").read_text())


@pytest.fixture(scope="session")
def http_vectors() -> dict[str, Any]:
    return json.loads((VECTORS / "l1-http.json").read_text())


@pytest.fixture(scope="session")
def key() -> Callable[[int], AccountKey]:
    return key_of


@pytest.fixture(scope="session")
def make_world() -> Callable[..., World]:
    """A world whose keys 1 to 5 have 1000 CPC each, unless the genesis says otherwise."""

    def make(*, virtual: bool = False, **changes: Any) -> World:
        alloc = changes.pop("alloc", {key_of(number).address: 10**21 for number in range(1, 6)})
        genesis_time = changes.pop("genesis_time", GENESIS_TIME)
        genesis = Genesis(alloc=alloc, genesis_time=genesis_time)
        config = DevChainConfig(
            proposer=key_of(99), genesis=genesis, data_dir=Path("unused"), **changes
        )
        return World(config, virtual=virtual)

    return make


@pytest.fixture
async def world(make_world: Callable[..., World]) -> AsyncIterator[World]:
    """A running chain with block 0."""
    world = make_world()
    async with world.running():
        await world.mine()
        yield world
