"""The networks that the tests share. Tests block; the processes are watched from another thread."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from node.devnet.layout import Layout, write_layout
from tests.system.support.altered import AlteredNet, running_altered
from tests.system.support.networks import Net, add_to_network, running_network

PAID_SOON = {"[economics]": "dispute_window_s = 0.5\n"}


@pytest.fixture
def running() -> Callable[[Layout], AbstractContextManager[Net]]:
    """For tests that need a network of their own."""
    return running_network


@pytest.fixture(scope="session")
def shared_net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    """One market, three validators (two verdicts of three decide), two workers."""
    folder = tmp_path_factory.mktemp("devnet")
    layout = write_layout(folder, validators=3, workers=2, api_port=0)
    add_to_network(layout, PAID_SOON)
    with running_network(layout) as net:
        yield net


@pytest.fixture
def net(shared_net: Net) -> Iterator[Net]:
    """The shared network, whole and idle at a test's start, without complaints at its end."""
    with shared_net.used():
        yield shared_net


@pytest.fixture(scope="session")
def shared_altered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AlteredNet]:
    """Four validators (three are drawn, two decide), two workers, all to be altered."""
    with running_altered(tmp_path_factory.mktemp("altered")) as altered:
        yield altered


@pytest.fixture
def altered(shared_altered: AlteredNet) -> Iterator[AlteredNet]:
    """The shared network of altered nodes, in the same state, with all alterations off."""
    with shared_altered.net.used():
        yield shared_altered


@pytest.fixture(scope="session")
def shared_spoiled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AlteredNet]:
    """Another one, for what leaves false results or lost tasks behind."""
    with running_altered(tmp_path_factory.mktemp("spoiled")) as altered:
        yield altered


@pytest.fixture
def spoiled(shared_spoiled: AlteredNet) -> AlteredNet:
    """The network that is not asked whether all is right; whole and idle at a test's start."""
    shared_spoiled.net.settle()
    return shared_spoiled
