"""TCP and WebSocket on one port of a real network, and strangers on the WebSocket side."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from hashlib import sha256

import pytest
import trio
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.peer.id import ID
from multiaddr import Multiaddr

from p2p.identity import Identity
from p2p.libp2p.addresses import parse
from p2p.libp2p.hardening import Supervisor
from p2p.libp2p.network import open_libp2p_network
from p2p.libp2p.swarm import GuardedSwarm
from p2p.libp2p.websocket import WebSocketStream
from p2p.limits import Limits
from p2p.messages import Message, register
from p2p.network import BulkSource, Network

pytestmark = pytest.mark.system

CHAIN = "test-chain"
TCP = "/ip4/127.0.0.1/tcp/0"
WS = TCP + "/ws"
LIMITS = Limits(handshake_timeout_s=1, handshakes=8, handshakes_per_address=8)
BODY = bytes(range(256)) * 20_000
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
PING = b"\x89\x80" + bytes(4)
DATA_WITHOUT_END = b"\x82\xff" + (1 << 62).to_bytes(8) + bytes(4)


@register
class Ask(Message):
    TYPE_ID = 65_260
    VERSION = 1
    MAX_BYTES = 500_000
    text: str


async def echo(_sender: str, ask: Ask) -> Ask:
    return ask


async def body(_sender: str, _argument: bytes) -> BulkSource:
    async def chunks() -> AsyncIterator[bytes]:
        yield BODY

    return BulkSource(len(BODY), sha256(BODY).digest(), chunks())


@pytest.fixture
async def patience() -> AsyncGenerator[None]:
    with trio.fail_after(30):
        yield


@pytest.fixture
async def node(patience) -> AsyncGenerator[Network]:
    """Its one port is announced for both."""
    async with open_libp2p_network(Identity.generate(), CHAIN, [TCP, WS], (), LIMITS) as network:
        network.serve(Ask, echo)
        network.serve_bulk("body", body)
        yield network


@asynccontextmanager
async def a_peer(address: str) -> AsyncGenerator[Network]:
    async with open_libp2p_network(Identity.generate(), CHAIN, [], [address]) as network:
        async with network.connections() as events:
            if not network.peers():
                await events.receive()
        yield network


async def assert_served(node: Network, peer: Network) -> None:
    text = "x" * 400_000
    answer = await peer.request(node.peer_id, Ask(text=text), timeout_s=5)
    assert answer == Ask(text=text)
    received = bytearray()

    async def sink(chunk: bytes) -> None:
        received.extend(chunk)

    await peer.fetch(node.peer_id, "body", b"", sink, max_bytes=len(BODY), timeout_s=20)
    assert received == BODY


async def test_one_port_takes_both(node) -> None:
    by_tcp, by_ws = node.addresses
    assert [parse(one).websocket for one in node.addresses] == [False, True]
    assert parse(by_tcp).port == parse(by_ws).port
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(a_peer(by_tcp))
        two = await stack.enter_async_context(a_peer(by_ws))
        heard = await stack.enter_async_context(two.subscribe("news"))
        await stack.enter_async_context(node.subscribe("news"))
        for peer in (one, two):
            await assert_served(node, peer)
        await one.publish("news", Ask(text="from one carrier to the other"))
        assert (await heard.receive()).sender == one.peer_id


async def test_a_port_that_is_announced_for_tcp_takes_websocket_too(patience) -> None:
    async with open_libp2p_network(Identity.generate(), CHAIN, [TCP]) as node:
        node.serve(Ask, echo)
        (address,) = node.addresses
        async with a_peer(address.replace("/p2p/", "/ws/p2p/")) as peer:
            answer = await peer.request(node.peer_id, Ask(text="x"), timeout_s=5)
            assert answer == Ask(text="x")


async def test_the_other_end_of_a_websocket_must_be_who_it_should_be(node) -> None:
    address = node.addresses[1].replace(node.peer_id, Identity.generate().peer_id)
    async with open_libp2p_network(Identity.generate(), CHAIN, [], [address]) as peer:
        await peer.connect(address)
        assert peer.peers() == ()


# Strangers


async def raw(node: Network) -> trio.SocketStream:
    endpoint = parse(node.addresses[0])
    return await trio.open_tcp_stream(endpoint.host, endpoint.port)


async def closed(stream: trio.SocketStream) -> None:
    """Returns once the node has closed the connection."""
    try:
        while await stream.receive_some(65_536):
            pass
    except trio.BrokenResourceError:
        pass
    finally:
        await trio.aclose_forcefully(stream)


async def pour(stream: trio.SocketStream, data: bytes) -> None:
    """Send for as long as the node takes it."""
    try:
        while True:
            await stream.send_all(data)
    except trio.BrokenResourceError:
        pass
    finally:
        await trio.aclose_forcefully(stream)


@pytest.mark.parametrize(
    "beginning",
    [b"", b"G", UPGRADE[:-2], UPGRADE, UPGRADE + PING, UPGRADE + DATA_WITHOUT_END],
    ids=["nothing", "a byte", "headers", "no handshake", "a ping", "a frame without end"],
)
async def test_who_goes_no_further_is_closed_in_time(node, beginning: bytes) -> None:
    """And takes the place of nobody for longer."""
    async with trio.open_nursery() as nursery:
        for _ in range(LIMITS.handshakes):
            stream = await raw(node)
            await stream.send_all(beginning)
            nursery.start_soon(closed, stream)
        nursery.cancel_scope.deadline = trio.current_time() + 4 * LIMITS.handshake_timeout_s
    assert not nursery.cancel_scope.cancelled_caught
    async with a_peer(node.addresses[1]) as peer:
        await assert_served(node, peer)


@pytest.mark.parametrize(
    ("beginning", "rest"),
    [
        (UPGRADE[:-2], b"X-More: " + b"x" * 1000 + b"\r\n"),
        (UPGRADE[:-2] + b"X-More: ", b"x" * 1000),
        (UPGRADE, PING),
        (UPGRADE, b"\x82\x80" + bytes(4)),
        (UPGRADE + DATA_WITHOUT_END, bytes(1000)),
    ],
    ids=["headers", "a header", "pings", "empty frames", "a frame without end"],
)
async def test_who_sends_without_end_is_closed(node, beginning: bytes, rest: bytes) -> None:
    async with a_peer(node.addresses[1]) as peer, trio.open_nursery() as nursery:
        for _ in range(LIMITS.handshakes // 2):
            stream = await raw(node)
            await stream.send_all(beginning)
            nursery.start_soon(pour, stream, rest * 50)
        await assert_served(node, peer)


async def test_plain_http_gets_an_answer_in_http(node) -> None:
    stream = await raw(node)
    await stream.send_all(b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n")
    assert (await stream.receive_some()).startswith(b"HTTP/1.1 400 ")
    await closed(stream)


@asynccontextmanager
async def an_attacker(node: Network) -> AsyncGenerator[WebSocketStream]:
    """The carrier of a connection over which a stranger has proved who it is."""
    swarm = GuardedSwarm(create_new_key_pair(b"a" * 32), LIMITS)
    async with trio.open_nursery() as nursery:
        supervisor = Supervisor(swarm)
        nursery.start_soon(supervisor.run)
        await supervisor.wait_started()
        address, peer_id = Multiaddr(node.addresses[1]), ID.from_string(node.peer_id)
        connection = await swarm.dial_addr(address, peer_id)
        yield connection.muxed_conn._channel._carrier
        await supervisor.stop()


@pytest.mark.parametrize("frame", [PING, b"\x8a\x80" + bytes(4)], ids=["pings", "pongs"])
async def test_a_peer_that_floods_with_frames_that_carry_nothing_is_cut_off(
    node, frame: bytes
) -> None:
    async with node.connections() as events, an_attacker(node) as carrier:
        assert (await events.receive()).connected
        async with a_peer(node.addresses[1]) as peer, trio.open_nursery() as nursery:
            assert (await events.receive()).peer_id == peer.peer_id
            nursery.start_soon(pour, carrier._tcp._stream, frame * 200)
            assert not (await events.receive()).connected
            await assert_served(node, peer)
