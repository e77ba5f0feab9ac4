"""Thousands of identities that cost nothing, against a node that must go on serving the others.

Each of them is real: a key, a handshake, sound signatures. What is bounded is what a node keeps
of them while they are there, and what it still has when they are gone.
"""

import gc
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import trio
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.custom_types import TProtocol
from libp2p.exceptions import BaseLibp2pError
from libp2p.peer.id import ID
from libp2p.pubsub.pb import rpc_pb2
from libp2p.utils.varint import encode_varint_prefixed
from multiaddr import Multiaddr

from p2p.envelope import Terms, seal
from p2p.identity import Identity, peer_id_bytes
from p2p.libp2p.hardening import Supervisor
from p2p.libp2p.host import GuardedHost
from p2p.libp2p.network import open_libp2p_network
from p2p.libp2p.streams import bytes_of
from p2p.libp2p.swarm import GuardedSwarm
from p2p.libp2p.yamux.stream import YamuxStream
from p2p.limits import Limits
from p2p.messages import Message, encode, register
from p2p.network import Network

pytestmark = pytest.mark.system

CHAIN, TOPIC = "test-chain", "news"
LOOPBACK = "/ip4/127.0.0.1/tcp/0"
TERMS = Terms(CHAIN, 65_536, 10**9, 10**9)
AT_A_TIME = 12
PATIENCE_S = 120


@register
class Ask(Message):
    TYPE_ID = 65_240
    VERSION = 1
    MAX_BYTES = 1000
    text: str


async def echo(_sender: str, ask: Ask) -> Ask:
    return ask


@asynccontextmanager
async def victim_and_good(limits: Limits) -> AsyncGenerator[tuple[Network, Network]]:
    with trio.fail_after(PATIENCE_S):
        async with AsyncExitStack() as stack:
            victim, good = [
                await stack.enter_async_context(
                    open_libp2p_network(Identity.generate(), CHAIN, [LOOPBACK], (), limits)
                )
                for _ in range(2)
            ]
            victim.serve(Ask, echo)
            await good.connect(victim.addresses[0])
            yield victim, good


@asynccontextmanager
async def stranger(victim: Network) -> AsyncGenerator[tuple[Identity, YamuxStream]]:
    """An identity that is connected and may gossip. Raises BaseLibp2pError if it is not let in."""
    identity = Identity.generate()
    swarm = GuardedSwarm(create_new_key_pair(identity.seed), Limits())
    host = GuardedHost(swarm, [], Limits())
    async with trio.open_nursery() as nursery:
        supervisor = Supervisor(swarm)
        nursery.start_soon(supervisor.run)
        await supervisor.wait_started()
        peer_id = ID.from_string(victim.peer_id)
        try:
            await swarm.dial_addr(Multiaddr(victim.addresses[0]), peer_id)
            stream = await host.new_stream(peer_id, [TProtocol("/meshsub/1.1.0")])
            yield identity, bytes_of(stream)
        finally:
            await host.close()
            nursery.cancel_scope.cancel()


def envelope(identity: Identity, ago_ms: int = 0) -> bytes:
    now_ms = time.time_ns() // 1_000_000 - ago_ms
    body = encode(Ask(text=identity.peer_id))
    return seal(identity, TERMS, TOPIC, body, now_ms=now_ms, lifetime_ms=100_000)


def news_of(identity: Identity, data: bytes | None = None) -> rpc_pb2.Message:
    """A sound message."""
    message = rpc_pb2.Message(
        data=data or envelope(identity),
        topicIDs=[f"/tmnode/{CHAIN}/{TOPIC}"],
        from_id=peer_id_bytes(identity.peer_id),
        seqno=time.time_ns().to_bytes(8),
    )
    message.signature = identity.sign(b"libp2p-pubsub:" + message.SerializeToString())
    return message


def rpc(*messages: rpc_pb2.Message) -> bytes:
    return encode_varint_prefixed(rpc_pb2.RPC(publish=messages).SerializeToString())


async def assert_unharmed(victim: Network, good: Network) -> None:
    with trio.fail_after(30):
        answer = await good.request(victim.peer_id, Ask(text="?"), timeout_s=30)
    assert answer == Ask(text="?")


async def test_two_thousand_signers_through_one_peer():
    """All are heard, tables stay bounded, and what was forgotten cannot be replayed.

    Each twenty have a tenth of a second of their own, however fast this machine is: more than 500
    of one would be forgotten at once.
    """
    limits = Limits(
        replays_remembered=500,
        signers_tracked=200,
        neighbour_rate_per_s=1e6,
        neighbour_burst=1e6,
    )
    async with (
        victim_and_good(limits) as (victim, good),
        victim.subscribe(TOPIC) as news,
        stranger(victim) as (_, stream),
    ):
        first = Identity.generate()
        data = envelope(first, 10_100)
        await stream.write(rpc(news_of(first, data)))
        await news.receive()
        for ago_ms in range(10_000, 0, -100):
            people = [Identity.generate() for _ in range(20)]
            await stream.write(rpc(*(news_of(one, envelope(one, ago_ms)) for one in people)))
            heard = {(await news.receive()).sender for _ in people}
            assert heard == {one.peer_id for one in people}
        await stream.write(rpc(news_of(first, data)))
        assert len(victim._gate._replays) <= 500
        assert len(victim._gate._rates) == 200
        await assert_unharmed(victim, good)
        await good.publish(TOPIC, Ask(text="heard"))
        assert (await news.receive()).sender == good.peer_id
        assert victim.counters == {"gossip_refused_stale": 1}


async def test_identities_that_come_and_go_leave_nothing_behind():
    limits = Limits(handshake_rate_per_s=1e6)
    async with victim_and_good(limits) as (victim, good), victim.subscribe(TOPIC) as news:
        heard: set[str] = set()

        async def come_and_go(door: trio.CapacityLimiter) -> None:
            async with door, stranger(victim) as (identity, stream):
                await stream.write(rpc(news_of(identity)))
                heard.add((await news.receive()).sender)

        async with trio.open_nursery() as nursery:
            door = trio.CapacityLimiter(8)
            for _ in range(60):
                nursery.start_soon(come_and_go, door)
        assert len(heard) == 60
        await assert_unharmed(victim, good)
        assert len(await peer_ids_in_memory()) < 20


async def peer_ids_in_memory() -> set[ID]:
    """Of all tables in this process, keyed by peer as they are."""
    await trio.testing.wait_all_tasks_blocked(0.1)
    gc.collect()
    return {thing for thing in gc.get_objects() if isinstance(thing, ID)}


async def test_one_address_gets_so_many_connections_and_no_more():
    limits = Limits(inbound_per_address=AT_A_TIME)
    async with victim_and_good(limits) as (victim, good), AsyncExitStack() as stack:
        inside = 0
        for _ in range(3 * AT_A_TIME):
            try:
                await stack.enter_async_context(stranger(victim))
                inside += 1
            except* BaseLibp2pError:
                pass
        assert inside == AT_A_TIME - 1
        assert len(victim.peers()) == AT_A_TIME
        await assert_unharmed(victim, good)


async def test_one_address_may_begin_so_many_handshakes_and_no_more():
    limits = Limits(handshake_rate_per_s=1e-9, handshake_burst=10)
    async with victim_and_good(limits) as (victim, good):
        let_in = 0
        for _ in range(30):
            try:
                async with stranger(victim):
                    let_in += 1
            except* BaseLibp2pError:
                pass
        assert let_in == 9
        await assert_unharmed(victim, good)


async def test_one_address_is_worth_so_many_neighbours_and_no_more():
    """What ten identities of one address send is dropped unread beyond that; none is cut off."""
    limits = Limits(neighbour_rate_per_s=1e-9, neighbour_burst=100, neighbours_per_address=3)
    async with victim_and_good(limits) as (victim, _), AsyncExitStack() as stack:
        async with victim.subscribe(TOPIC):
            for _ in range(10):
                identity, stream = await stack.enter_async_context(stranger(victim))
                for _ in range(90):
                    await stream.write(rpc(news_of(identity)))
            await trio.testing.wait_all_tasks_blocked(0.2)
        assert victim.counters["gossip_dropped_unread"] >= 10 * 90 - 300
        assert len(victim.peers()) == 11
