"""The worlds the contract of `p2p.network.Network` is tested in."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
import trio

from p2p.identity import Identity
from p2p.limits import Limits
from p2p.memory import MemoryHub
from p2p.network import Network
from p2p.weather import Weather

CHAIN = "test-chain"
PATIENCE_S = 60


@asynccontextmanager
async def patiently(opening: AbstractAsyncContextManager[Network]) -> AsyncGenerator[Network]:
    """The network, for as long as a test may take. (pytest-trio runs no autouse fixtures.)"""
    with trio.fail_after(PATIENCE_S):
        async with opening as network:
            yield network


class MemoryWorld:
    """Networks on one hub."""

    def __init__(self, weather: Weather | None = None) -> None:
        self.hub = MemoryHub(weather=weather)

    def open(
        self,
        identity: Identity,
        *,
        bootstrap: Sequence[str] = (),
        limits: Limits | None = None,
        chain_id: str = CHAIN,
        **_elsewhere: object,
    ) -> AbstractAsyncContextManager[Network]:
        opening = self.hub.open_network(identity, chain_id, bootstrap=bootstrap, limits=limits)
        return patiently(opening)


class Libp2pWorld:
    """Networks on loopback. `at`: an address of an earlier network, to come back to."""

    def open(
        self,
        identity: Identity,
        *,
        bootstrap: Sequence[str] = (),
        limits: Limits | None = None,
        at: str | None = None,
        chain_id: str = CHAIN,
    ) -> AbstractAsyncContextManager[Network]:
        from p2p.libp2p.network import open_libp2p_network

        listen = at.partition("/p2p/")[0] if at else "/ip4/127.0.0.1/tcp/0"
        return patiently(open_libp2p_network(identity, chain_id, [listen], bootstrap, limits))


WORLDS = {
    "memory": MemoryWorld,
    "memory in bad weather": lambda: MemoryWorld(Weather(delay_s=(0, 0.01), duplication=0.5)),
    "libp2p": Libp2pWorld,
}


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest) -> MemoryWorld | Libp2pWorld:
    return WORLDS[request.param]()


@pytest.fixture
def alice() -> Identity:
    return Identity.from_seed(b"a" * 32)


@pytest.fixture
def bob() -> Identity:
    return Identity.from_seed(b"b" * 32)


@pytest.fixture
def carol() -> Identity:
    return Identity.from_seed(b"c" * 32)
