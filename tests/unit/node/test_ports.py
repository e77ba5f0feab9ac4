"""Ports that cannot be had are said so at once, with the key of the file that names them."""

import socket
from collections.abc import Iterator

import pytest

from node.errors import ConfigError
from node.ports import bind_api, check_listen


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_the_apis_port(taken: int) -> None:
    with pytest.raises(ConfigError) as refused:
        bind_api("127.0.0.1", taken)
    assert refused.value.field == "api.listen"
    assert refused.value.message == f"port {taken} on 127.0.0.1 is in use"
    assert refused.value.remedy
    with pytest.raises(ConfigError) as refused:
        bind_api("192.0.2.1", 0)
    assert "cannot be used" in refused.value.message
    with bind_api("127.0.0.1", 0) as free:
        assert free.getsockname()[1] != 0


def test_the_peers_port(taken: int) -> None:
    address = f"/ip4/127.0.0.1/tcp/{taken}"
    with pytest.raises(ConfigError) as refused:
        check_listen(address)
    assert refused.value.field == "p2p.listen"
    assert refused.value.message == f"cannot listen on {address}: the address is in use"
    with pytest.raises(ConfigError):
        check_listen(f"{address}/ws")


@pytest.mark.parametrize(
    "address", ["/ip4/127.0.0.1/tcp/0", "/ip6/::1/tcp/4001", "/dns4/localhost/tcp/1"]
)
def test_what_only_the_network_can_tell_is_left_to_it(address: str) -> None:
    check_listen(address)


def test_a_look_leaves_the_port_free(taken: int) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
    check_listen(f"/ip4/127.0.0.1/tcp/{port}")
    check_listen(f"/ip4/127.0.0.1/tcp/{port}")
