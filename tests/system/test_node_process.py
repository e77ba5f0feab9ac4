"""One `tmnode` process: a node with every role, and the ways in which a node does not start."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from node.devnet.layout import Layout, write_layout
from tests.system.support.networks import PAID_SOON, add_to_network

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]


def test_a_combined_node_does_it_all(running, tmp_path) -> None:
    """Market, validator and worker in one process with one L1 account, a quorum of one of one.

    One account has one sender for payouts and results: with two, they would take the same nonces
    and one of their transactions would be lost.
    """
    layout = write_layout(tmp_path, validators=0, workers=0, api_port=0)
    replace(layout.network_file, "[protocol]", "[protocol]\nquorum_size = 1\nquorum_needed = 1")
    roles = 'roles = ["market", "validator", "worker"]'
    replace(layout.market.config, 'roles = ["market"]', roles)
    add_to_network(layout, PAID_SOON)
    with running(layout, block_time_s=0.25) as net:
        tasks = [net.post() for _ in range(4)]
        for task_id in tasks:
            done = net.completed(task_id)
            assert done.result.worker_address == net.address("market")
            assert net.worker(task_id) == "market"
        net.check_payments()
        net.check_books()
        assert net.complaints() == []


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def refusal(config: Path, *options: str) -> str:
    """The one line that a node says when it does not start; it ends at once, with code 1."""
    began = time.monotonic()
    command = [sys.executable, "-m", "node.cli", "run", "--config", str(config), *options]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    sys.stdout.write(f"{time.monotonic() - began:.2f} s: {done.stderr}")
    assert (done.returncode, done.stdout) == (1, ""), done
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1, "one line"
    return done.stderr


@pytest.fixture
def layout(tmp_path) -> Layout:
    """A worker's files, right until a test makes a mistake in them."""
    return write_layout(tmp_path, validators=0, workers=1, api_port=0)


@contextmanager
def listening(port: int) -> Iterator[None]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        yield


def test_the_apis_port_is_in_use(layout) -> None:
    seat = layout.workers[0]
    with listening(seat.api_port):
        assert f"port {seat.api_port} on 127.0.0.1 is in use" in refusal(seat.config)


def test_the_peers_port_is_in_use(layout) -> None:
    seat = layout.workers[0]
    with listening(seat.p2p_port):
        line = refusal(seat.config)
    assert f"p2p.listen: cannot listen on /ip4/127.0.0.1/tcp/{seat.p2p_port}" in line


def test_the_data_directory_is_another_nodes(net) -> None:
    """Two nodes on one store would answer for what the other one has promised."""
    config = net.seat("worker-1").config
    line = refusal(config, "--api", "127.0.0.1:0", "--listen", "/ip4/127.0.0.1/tcp/0")
    assert "node.data_dir" in line
    assert f"in use by process {net.programs['worker-1'].pid}" in line


def no_network_file(layout: Layout) -> str:
    layout.network_file.unlink()
    return str(layout.network_file)


def unknown_key(layout: Layout) -> str:
    replace(layout.workers[0].config, "max_requests", "max_request")
    return "api.max_request: is not known (did you mean max_requests?)"


def unknown_network_key(layout: Layout) -> str:
    replace(layout.network_file, "[protocol]", "[protocol]\nquorum = 3")
    return "protocol.quorum: is not known"


def exposed_keys(layout: Layout) -> str:
    path = layout.workers[0].directory / "keys" / "account.json"
    path.chmod(0o644)
    return f"(chmod 600 {path})"


def no_roles(layout: Layout) -> str:
    replace(layout.workers[0].config, 'roles = ["worker"]', "roles = []")
    return "node.roles: is empty"


def a_file_for_a_directory(layout: Layout) -> str:
    seat = layout.workers[0]
    (seat.directory / "file").write_text("in the way")
    replace(seat.config, f"{seat.directory.resolve()}", f"{seat.directory.resolve()}/file/data")
    return f"{seat.directory.resolve()}/file"


MISTAKES = [
    no_network_file,
    unknown_key,
    unknown_network_key,
    exposed_keys,
    no_roles,
    a_file_for_a_directory,
]


@pytest.mark.parametrize("make", MISTAKES, ids=lambda make: make.__name__)
def test_one_line_says_what_is_wrong(layout, make: Callable[[Layout], str]) -> None:
    expected = make(layout)
    assert expected in refusal(layout.workers[0].config)
