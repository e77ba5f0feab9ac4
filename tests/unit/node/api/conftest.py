import importlib.util
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest

from node.api.rest import build_app
from node.api.service import Service

NOW = 1_700_000_000.5
URL = "http://127.0.0.1:8080"
LOOPBACK = ("127.0.0.1", 40_000)


@pytest.fixture(scope="session")
def twin():
    """The module beside this file."""
    path = Path(__file__).with_name("twin.py")
    spec = importlib.util.spec_from_file_location("api_twin", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["api_twin"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def market(twin):
    return twin.TwinMarket()


@pytest.fixture
def node(twin):
    return twin.TwinNode()


@pytest.fixture
def till(twin, market):
    return twin.TwinTill(market)


@pytest.fixture
def stakes(twin, market):
    return twin.TwinStaking(market)


@pytest.fixture
def service(twin, market, node, till, stakes) -> Service:
    return Service(
        node=node,
        market_role=market,
        till=till,
        paydesk=twin.TwinPayDesk(),
        stakes=stakes,
        local_account=twin.LOCAL,
        now=lambda: NOW,
    )


@pytest.fixture
def connect() -> Callable[..., httpx.AsyncClient]:
    def make(service: Service, peer: tuple[str, int] = LOOPBACK) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(build_app(service), client=peer)
        return httpx.AsyncClient(transport=transport, base_url=URL)

    return make


@pytest.fixture
async def client(service, connect) -> AsyncIterator[httpx.AsyncClient]:
    async with connect(service) as opened:
        yield opened


@pytest.fixture
def order() -> dict[str, object]:
    """The specification's example."""
    return {
        "challenge_type": "synthetic",
        "payload": {"seed": "1234abcd5678ef90", "matrix_size": 1024, "iterations": 100},
        "reward": "10.0",
    }
