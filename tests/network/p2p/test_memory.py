"""What only the memory network can do: partitions, latency, virtual time."""

import pytest
import trio
from trio.testing import MockClock

from p2p.errors import PeerUnreachable, RequestTimeout
from p2p.limits import Limits
from p2p.memory import MemoryHub
from p2p.messages import Message, register
from p2p.network import BulkSource, PeerEvent

CHAIN = "test-chain"


@register
class Word(Message):
    TYPE_ID = 65_110
    VERSION = 1
    MAX_BYTES = 1000
    text: str


async def echo(_sender: str, word: Word) -> Word:
    return word


async def test_latency_is_per_hop_and_in_virtual_time(autojump_clock: MockClock, alice, bob, carol):
    hub = MemoryHub(latency_s=5)
    async with (
        hub.open_network(alice, CHAIN) as a,
        hub.open_network(bob, CHAIN) as b,
        hub.open_network(carol, CHAIN) as c,
        b.subscribe("news"),
        c.subscribe("news") as at_c,
    ):
        await a.connect(b.addresses[0])
        await c.connect(b.addresses[0])
        b.serve(Word, echo)
        start = trio.current_time()
        await a.request(b.peer_id, Word(text="x"), timeout_s=30)
        assert trio.current_time() - start == pytest.approx(10)
        await a.publish("news", Word(text="x"))
        await at_c.receive()
        assert trio.current_time() - start == pytest.approx(20)


async def test_what_one_peer_sends_arrives_in_order(autojump_clock: MockClock, alice, bob):
    hub = MemoryHub(latency_s=1)
    async with (
        hub.open_network(alice, CHAIN) as a,
        hub.open_network(bob, CHAIN, bootstrap=a.addresses) as b,
        b.subscribe("news") as at_b,
        b.connections() as events,
    ):
        await events.receive()
        for number in range(50):
            await a.publish("news", Word(text=str(number)))
        assert [(await at_b.receive()).message.text for _ in range(50)] == list(map(str, range(50)))


async def test_a_request_slower_than_its_deadline(autojump_clock: MockClock, alice, bob):
    hub = MemoryHub(latency_s=5)
    async with hub.open_network(alice, CHAIN) as a, hub.open_network(bob, CHAIN) as b:
        await a.connect(b.addresses[0])
        b.serve(Word, echo)
        with pytest.raises(RequestTimeout):
            await a.request(b.peer_id, Word(text="x"), timeout_s=8)


async def test_a_partition_ends_what_is_under_way_until_it_is_healed(
    autojump_clock: MockClock, alice, bob
):
    hub = MemoryHub()

    async def stuck() -> None:
        await trio.sleep_forever()
        yield b""

    async def forever(_sender: str, _word: Word) -> Word:
        await trio.sleep_forever()

    async def never(_sender: str, _argument: bytes) -> BulkSource:
        return BulkSource(1, bytes(32), stuck())

    async with hub.open_network(alice, CHAIN) as a, hub.open_network(bob, CHAIN) as b:
        b.serve(Word, forever)
        b.serve_bulk("never", never)
        await a.connect(b.addresses[0])

        async def asks() -> None:
            with pytest.raises(PeerUnreachable):
                await a.request(b.peer_id, Word(text="x"), timeout_s=60)

        async def fetches() -> None:
            with pytest.raises(PeerUnreachable):
                await a.fetch(b.peer_id, "never", b"", print, max_bytes=1, timeout_s=60)

        async with trio.open_nursery() as nursery, a.connections() as events:
            nursery.start_soon(asks)
            nursery.start_soon(fetches)
            await trio.sleep(1)
            hub.partition(a.peer_id, b.peer_id)
            assert await events.receive() == PeerEvent(b.peer_id, connected=False)
            await trio.sleep(60)
            assert b.peers() == ()
            hub.heal(a.peer_id, b.peer_id)
            assert await events.receive() == PeerEvent(b.peer_id, connected=True)


async def test_a_disconnected_peer_is_redialled(autojump_clock: MockClock, alice, bob):
    hub = MemoryHub()
    async with (
        hub.open_network(alice, CHAIN) as a,
        hub.open_network(bob, CHAIN) as b,
        b.connections() as events,
    ):
        await a.connect(b.addresses[0])
        hub.disconnect(a.peer_id)
        assert [await events.receive() for _ in range(3)] == [
            PeerEvent(a.peer_id, connected=True),
            PeerEvent(a.peer_id, connected=False),
            PeerEvent(a.peer_id, connected=True),
        ]


async def test_gossip_older_than_its_lifetime_is_stale(autojump_clock: MockClock, alice, bob):
    hub = MemoryHub(latency_s=50)
    limits = Limits(envelope_lifetime_s=20, clock_skew_s=5, dial_timeout_s=60)
    async with (
        hub.open_network(alice, CHAIN, limits=limits) as a,
        hub.open_network(bob, CHAIN, limits=limits) as b,
        b.subscribe("news") as at_b,
    ):
        await a.connect(b.addresses[0])
        await a.publish("news", Word(text="x"))
        with trio.move_on_after(100):
            await at_b.receive()
        assert b.counters == {"gossip_refused_expired": 1}


async def test_an_identity_is_open_once(alice):
    hub = MemoryHub()
    async with hub.open_network(alice, CHAIN):
        with pytest.raises(ValueError, match="open already"):
            async with hub.open_network(alice, CHAIN):
                pass
