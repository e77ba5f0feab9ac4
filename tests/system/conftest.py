"""The networks that the tests share. Tests block; the processes are watched from another thread.

A network at rest still makes blocks and looks for them, beside tests that have no use for it. So
tests that share one come together, after all that share none, and it stops before the next begins.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import TypeVar

import pytest

from node.devnet.layout import Layout, write_layout
from tests.system.support.altered import AlteredNet, running_altered
from tests.system.support.networks import PAID_SOON, Net, add_to_network, running_network

T = TypeVar("T")
Open = Callable[[AbstractContextManager[T]], T]

SHARED = ("net", "altered", "spoiled")


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    items.sort(key=lambda item: [name in item.fixturenames for name in SHARED])


@pytest.fixture(scope="session")
def instead() -> Iterator[Open[T]]:
    """Opens a network once the one that it opened before has stopped."""
    with ExitStack() as stack:

        def open_next(network: AbstractContextManager[T]) -> T:
            stack.close()
            return stack.enter_context(network)

        yield open_next


@pytest.fixture
def running() -> Callable[[Layout], AbstractContextManager[Net]]:
    """For tests that need a network of their own."""
    return running_network


@pytest.fixture(scope="session")
def shared_net(instead: Open[Net], tmp_path_factory: pytest.TempPathFactory) -> Net:
    """One market, three validators (two verdicts of three decide), two workers."""
    folder = tmp_path_factory.mktemp("devnet")
    layout = write_layout(folder, validators=3, workers=2, api_port=0)
    add_to_network(layout, PAID_SOON)
    return instead(running_network(layout))


@pytest.fixture
def net(shared_net: Net) -> Iterator[Net]:
    """The shared network, whole and idle at a test's start, without complaints at its end."""
    with shared_net.used():
        yield shared_net


@pytest.fixture(scope="session")
def shared_altered(
    instead: Open[AlteredNet], tmp_path_factory: pytest.TempPathFactory
) -> AlteredNet:
    """Four validators (three are drawn, two decide), two workers, all to be altered."""
    return instead(running_altered(tmp_path_factory.mktemp("altered")))


@pytest.fixture
def altered(shared_altered: AlteredNet) -> Iterator[AlteredNet]:
    """The shared network of altered nodes, in the same state, with all alterations off."""
    with shared_altered.net.used():
        yield shared_altered


@pytest.fixture(scope="session")
def shared_spoiled(
    instead: Open[AlteredNet], tmp_path_factory: pytest.TempPathFactory
) -> AlteredNet:
    """Another one, for what leaves false results or lost tasks behind."""
    return instead(running_altered(tmp_path_factory.mktemp("spoiled")))


@pytest.fixture
def spoiled(shared_spoiled: AlteredNet) -> AlteredNet:
    """The network that is not asked whether all is right; whole and idle at a test's start."""
    shared_spoiled.net.settle()
    return shared_spoiled
