import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p.errors import BadAddress
from p2p.identity import Identity
from p2p.libp2p.addresses import Endpoint, parse, parse_peer

PEER_ID = Identity.from_seed(bytes(32)).peer_id


@pytest.mark.parametrize(
    ("address", "endpoint"),
    [
        ("/ip4/127.0.0.1/tcp/0", Endpoint("ip4", "127.0.0.1", 0, None)),
        ("/ip6/::1/tcp/4001", Endpoint("ip6", "::1", 4001, None)),
        (f"/dns4/market/tcp/65535/p2p/{PEER_ID}", Endpoint("dns4", "market", 65_535, PEER_ID)),
        ("/ip4/127.0.0.1/tcp/1/ws", Endpoint("ip4", "127.0.0.1", 1, None, True)),
        (f"/ip6/::1/tcp/1/ws/p2p/{PEER_ID}", Endpoint("ip6", "::1", 1, PEER_ID, True)),
    ],
)
def test_good_addresses(address, endpoint):
    assert parse(address) == endpoint
    assert str(endpoint) == address


@pytest.mark.parametrize(
    "address",
    [
        "",
        "/ip4/127.0.0.1",
        "/ip4//tcp/1",
        "/ip4/127.0.0.1/udp/1",
        "/ip4/127.0.0.1/tcp/65536",
        "/ip4/127.0.0.1/tcp/-1",
        "/ip4/127.0.0.1/tcp/²",
        "/ip4/127.0.0.1/tcp/1/wss",
        "/ip4/127.0.0.1/tcp/1/ws/ws",
        f"/ip4/127.0.0.1/tcp/1/p2p/{PEER_ID}/ws",
        "/ip4/127.0.0.1/tcp/1/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N",
        "ip4/127.0.0.1/tcp/1",
    ],
)
def test_bad_addresses(address):
    with pytest.raises(BadAddress):
        parse(address)


@given(st.text(max_size=40))
def test_other_text_is_refused(text):
    with pytest.raises(BadAddress):
        parse_peer(text)


def test_an_address_to_dial_names_its_peer():
    with pytest.raises(BadAddress, match="/p2p/"):
        parse_peer("/ip4/127.0.0.1/tcp/1")


@pytest.mark.parametrize(
    ("address", "authority"),
    [("/ip4/127.0.0.1/tcp/80/ws", "127.0.0.1:80"), ("/ip6/::1/tcp/80/ws", "[::1]:80")],
)
def test_the_host_that_http_is_told(address, authority):
    assert parse(address).authority == authority
