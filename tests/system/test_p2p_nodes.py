"""Real networks over their life: ports, restarts, crashes, many connections, other libp2p hosts."""

import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from subprocess import PIPE

import pytest
import trio
from libp2p import new_host
from libp2p.abc import INetStream
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.custom_types import TProtocol
from libp2p.host.ping import ID as PING
from libp2p.identity.identify.identify import ID as IDENTIFY
from libp2p.identity.identify.identify import parse_identify_response
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pubsub import Pubsub
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as Noise
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX
from libp2p.stream_muxer.yamux.yamux import Yamux as TheirYamux
from libp2p.tools.anyio_service import background_trio_service
from multiaddr import Multiaddr

from p2p.errors import AddressInUse, CannotListen
from p2p.identity import Identity
from p2p.libp2p.network import open_libp2p_network
from p2p.limits import Limits
from p2p.messages import Message, encode, register
from p2p.network import Network, PeerEvent
from p2p.requests import FrameReader, Kind, encode_frame

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
CHAIN = "test-chain"
LOOPBACK = "/ip4/127.0.0.1/tcp/0"
ALICE = Identity.from_seed(b"a" * 32)
BOB = Identity.from_seed(b"b" * 32)


@register
class Ask(Message):
    TYPE_ID = 65_210
    VERSION = 1
    MAX_BYTES = 500_000
    text: str


async def echo(_sender: str, ask: Ask) -> Ask:
    return ask


@pytest.fixture
async def patience() -> AsyncGenerator[None]:
    with trio.fail_after(60):
        yield


# Listening


async def test_a_port_is_listened_on_once(patience):
    async with open_libp2p_network(ALICE, CHAIN, [LOOPBACK]) as a:
        taken = a.addresses[0].partition("/p2p/")[0]
        with pytest.raises(AddressInUse) as caught:
            async with open_libp2p_network(BOB, CHAIN, [LOOPBACK, taken]):
                pass
        assert caught.value.address == taken
    async with open_libp2p_network(BOB, CHAIN, [taken]):
        pass


async def test_an_address_that_is_not_ours(patience):
    with pytest.raises(CannotListen):
        async with open_libp2p_network(ALICE, CHAIN, ["/ip4/192.0.2.1/tcp/0"]):
            pass


async def test_addresses_are_real_and_name_us(patience):
    async with open_libp2p_network(ALICE, CHAIN, [LOOPBACK, "/ip4/0.0.0.0/tcp/0"]) as a:
        assert a.addresses[0].startswith("/ip4/127.0.0.1/tcp/")
        assert not any("/tcp/0/" in address or "0.0.0.0" in address for address in a.addresses)
        assert all(address.endswith(f"/p2p/{ALICE.peer_id}") for address in a.addresses)
        async with open_libp2p_network(BOB, CHAIN, []) as b, a.connections() as events:
            await b.connect(a.addresses[1])
            assert await events.receive() == PeerEvent(BOB.peer_id, connected=True)


# Connections over time


async def test_more_connections_in_a_life_than_are_allowed_at_a_time(patience):
    limits = Limits(max_connections=3, inbound_connections=2)
    async with open_libp2p_network(ALICE, CHAIN, [LOOPBACK], (), limits) as a:
        a.serve(Ask, echo)
        async with a.connections() as events:
            for _ in range(6):
                async with open_libp2p_network(BOB, CHAIN, [], a.addresses) as b:
                    assert (await events.receive()).connected
                    await b.request(ALICE.peer_id, Ask(text="x"), timeout_s=5)
                assert not (await events.receive()).connected


async def test_a_full_node_serves_those_it_has(patience):
    limits = Limits(inbound_connections=1)
    async with (
        open_libp2p_network(ALICE, CHAIN, [LOOPBACK], (), limits) as a,
        open_libp2p_network(BOB, CHAIN, []) as b,
        open_libp2p_network(Identity.generate(), CHAIN, []) as late,
    ):
        a.serve(Ask, echo)
        await b.connect(a.addresses[0])
        await late.connect(a.addresses[0])
        await b.request(ALICE.peer_id, Ask(text="x"), timeout_s=5)
        assert [peer.peer_id for peer in a.peers()] == [BOB.peer_id]


PEER_PROGRAM = """
import sys, trio
from p2p.identity import Identity
from p2p.libp2p.network import open_libp2p_network
from p2p.messages import Message, register

@register
class Ask(Message):
    TYPE_ID, VERSION, MAX_BYTES = 65_210, 1, 500_000
    text: str

async def echo(sender, ask):
    return Ask(text=f"{ask.text} at {sys.argv[2]}")

async def main():
    async with open_libp2p_network(Identity.from_seed(b"b" * 32), "test-chain", [sys.argv[1]]) as b:
        b.serve(Ask, echo)
        async with b.subscribe("news") as news:
            print(b.addresses[0], flush=True)
            while True:
                print((await news.receive()).message.text, flush=True)

trio.run(main)
"""


@asynccontextmanager
async def bob_in_a_process(listen: str, name: str) -> AsyncGenerator[tuple[trio.Process, "Lines"]]:
    command = [sys.executable, "-c", PEER_PROGRAM, listen, name]
    async with trio.open_nursery() as nursery:
        process = await nursery.start(
            partial(trio.run_process, command, stdout=PIPE, check=False, cwd=ROOT)
        )
        yield process, Lines(process.stdout)
        nursery.cancel_scope.cancel()


class Lines:
    def __init__(self, stream: trio.abc.ReceiveStream) -> None:
        self._stream = stream
        self._buffer = b""

    async def next(self) -> str:
        while b"\n" not in self._buffer:
            self._buffer += await self._stream.receive_some()
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode()


async def test_a_peer_that_is_killed_comes_back_as_the_same(patience):
    async with (
        open_libp2p_network(ALICE, CHAIN, [LOOPBACK]) as a,
        a.connections() as events,
    ):
        async with bob_in_a_process(LOOPBACK, "first") as (process, lines):
            address = await lines.next()
            await a.connect(address)
            assert await events.receive() == PeerEvent(BOB.peer_id, connected=True)
            await says(a, lines, "first")
            process.send_signal(signal.SIGKILL)
            with trio.fail_after(30):
                assert await events.receive() == PeerEvent(BOB.peer_id, connected=False)
        async with bob_in_a_process(address.partition("/p2p/")[0], "second") as (_, lines):
            assert await lines.next() == address
            with trio.fail_after(30):
                assert await events.receive() == PeerEvent(BOB.peer_id, connected=True)
            await says(a, lines, "second")


async def says(a: Network, lines: Lines, name: str) -> None:
    answer = await a.request(BOB.peer_id, Ask(text="who"), timeout_s=5)
    assert answer == Ask(text=f"who at {name}")
    await a.publish("news", Ask(text=f"news for {name}"))
    # A new subscriber is given the last seconds as well.
    while await lines.next() != f"news for {name}":
        pass


# libp2p's own host as a peer


@asynccontextmanager
async def their_host() -> AsyncGenerator:
    """A host as libp2p makes it, with its own Noise, Yamux and gossipsub."""
    key_pair = create_new_key_pair(b"t" * 32)
    noise = Noise(key_pair, noise_privkey=create_noise_key_pair().private_key)
    host = new_host(
        key_pair=key_pair,
        sec_opt={TProtocol(NOISE): noise},
        muxer_opt={TProtocol(YAMUX): TheirYamux},
    )
    async with host.run([Multiaddr(LOOPBACK)]):
        yield host
        await host.close()


async def their_stream(host, network: Network, protocol: str) -> INetStream:
    info = info_from_p2p_addr(Multiaddr(network.addresses[0]))
    await host.connect(info)
    return await host.new_stream(info.peer_id, [TProtocol(protocol)])


async def read_exactly(stream: INetStream, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += await stream.read(size - len(data))
    return data


async def test_their_host_pings_and_identifies_us(patience):
    async with open_libp2p_network(ALICE, CHAIN, [LOOPBACK]) as a, their_host() as host:
        ping = await their_stream(host, a, PING)
        await ping.write(b"p" * 32)
        assert await read_exactly(ping, 32) == b"p" * 32
        identify = parse_identify_response(await (await their_stream(host, a, IDENTIFY)).read())
        assert "/tmnode/request/1" in identify.protocols
        assert "/meshsub/1.1.0" in identify.protocols


async def test_their_yamux_and_ours_carry_large_requests(patience):
    async with open_libp2p_network(ALICE, CHAIN, [LOOPBACK]) as a, their_host() as host:
        a.serve(Ask, echo)
        stream = await their_stream(host, a, "/tmnode/request/1")
        reader = FrameReader(1 << 20)
        for number in range(8):
            payload = encode(Ask(text=str(number) * 400_000))
            await stream.write(encode_frame(Kind.REQUEST, number, payload))
            frames = []
            while not frames:
                frames = reader.feed(await stream.read(65_536))
            assert frames == [(Kind.RESPONSE, number, payload)]


async def test_their_gossipsub_and_ours_are_one_mesh(patience):
    topic = f"/tmnode/{CHAIN}/news"
    router = GossipSub(
        [TProtocol("/meshsub/1.1.0")],
        degree=4,
        degree_low=2,
        degree_high=6,
        heartbeat_interval=1,
    )
    async with their_host() as host:
        pubsub = Pubsub(host, router)
        try:
            async with (
                background_trio_service(pubsub),
                background_trio_service(router),
                open_libp2p_network(ALICE, CHAIN, [LOOPBACK]) as a,
                open_libp2p_network(BOB, CHAIN, []) as b,
                b.subscribe("news") as at_b,
            ):
                await pubsub.wait_until_ready()
                theirs = await pubsub.subscribe(topic)
                # Alice and Bob meet only through their host.
                address = str(host.get_addrs()[0])
                await a.connect(address)
                await b.connect(address)
                await a.publish("news", Ask(text="x"))
                assert (await at_b.receive()) == (ALICE.peer_id, Ask(text="x"))
                assert (await theirs.get()).topicIDs == [topic]
        finally:
            pubsub.seen_messages.stop()
