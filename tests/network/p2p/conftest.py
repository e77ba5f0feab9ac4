"""The two worlds the contract of `p2p.network.Network` is tested in."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

import pytest

from p2p.identity import Identity
from p2p.limits import Limits
from p2p.memory import MemoryHub
from p2p.network import Network

CHAIN = "test-chain"


class MemoryWorld:
    """Networks on one hub."""

    def __init__(self) -> None:
        self.hub = MemoryHub()

    def open(
        self,
        identity: Identity,
        *,
        bootstrap: Sequence[str] = (),
        limits: Limits | None = None,
        chain_id: str = CHAIN,
        **_elsewhere: object,
    ) -> AbstractAsyncContextManager[Network]:
        return self.hub.open_network(identity, chain_id, bootstrap=bootstrap, limits=limits)


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
        return open_libp2p_network(identity, chain_id, [listen], bootstrap, limits)


@pytest.fixture(params=["memory", "libp2p"])
def world(request: pytest.FixtureRequest) -> MemoryWorld | Libp2pWorld:
    return MemoryWorld() if request.param == "memory" else Libp2pWorld()


@pytest.fixture
def alice() -> Identity:
    return Identity.from_seed(b"a" * 32)


@pytest.fixture
def bob() -> Identity:
    return Identity.from_seed(b"b" * 32)


@pytest.fixture
def carol() -> Identity:
    return Identity.from_seed(b"c" * 32)
