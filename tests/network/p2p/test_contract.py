"""What a `Network` promises, held against both implementations."""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from p2p.errors import (
    BadAddress,
    DigestMismatch,
    MessageTooLarge,
    PeerUnreachable,
    RequestRefused,
    RequestTimeout,
    TransferFailed,
    TransferTooLarge,
)
from p2p.identity import Identity
from p2p.limits import Limits
from p2p.messages import Message, register
from p2p.network import BulkSource, Network, PeerEvent, Received


@register
class Ask(Message):
    TYPE_ID = 65_100
    VERSION = 1
    MAX_BYTES = 200_000
    text: str


@register
class Answer(Message):
    TYPE_ID = 65_101
    VERSION = 1
    MAX_BYTES = 200_000
    text: str


@register
class Unserved(Message):
    TYPE_ID = 65_102
    VERSION = 1
    MAX_BYTES = 100


@register
class Huge(Message):
    TYPE_ID = 65_103
    VERSION = 1
    MAX_BYTES = 20_000_000
    body: bytes


@asynccontextmanager
async def pair(world, alice: Identity, bob: Identity, **how) -> AsyncGenerator[tuple]:
    """Two connected networks."""
    async with world.open(alice, **how) as a, world.open(bob, **how) as b:
        await meet(a, b)
        yield a, b


async def meet(a: Network, b: Network) -> None:
    """`b` connects to `a`; both know of it when this returns."""
    async with a.connections() as arrivals:
        await b.connect(a.addresses[0])
        assert await arrivals.receive() == PeerEvent(b.peer_id, connected=True)


async def echo(sender: str, ask: Ask) -> Answer:
    return Answer(text=f"{sender} {ask.text}")


# Gossip


async def test_gossip_reaches_other_subscribers_and_not_its_author(world, alice, bob):
    async with (
        pair(world, alice, bob) as (a, b),
        a.subscribe("news") as at_a,
        b.subscribe("news") as at_b,
    ):
        await a.publish("news", Ask(text="from a"))
        assert await at_b.receive() == Received(a.peer_id, Ask(text="from a"))
        await b.publish("news", Ask(text="from b"))
        assert await at_a.receive() == Received(b.peer_id, Ask(text="from b"))
        with pytest.raises(trio.WouldBlock):
            at_b.receive_nowait()


async def test_gossip_is_passed_on_by_subscribers(world, alice, bob, carol):
    async with (
        world.open(alice) as a,
        world.open(bob) as b,
        world.open(carol) as c,
        b.subscribe("news"),
        c.subscribe("news") as at_c,
    ):
        await meet(a, b)
        await meet(b, c)
        await a.publish("news", Ask(text="far"))
        assert (await at_c.receive()).sender == a.peer_id


async def test_gossip_stays_on_its_topic_and_its_chain(world, alice, bob, carol):
    async with (
        pair(world, alice, bob) as (a, b),
        world.open(carol, chain_id="other-chain") as c,
        b.subscribe("news") as at_b,
        c.subscribe("news") as at_c,
    ):
        await meet(a, c)
        await a.publish("weather", Ask(text="not this"))
        await a.publish("news", Ask(text="this"))
        assert (await at_b.receive()).message == Ask(text="this")
        with pytest.raises(trio.WouldBlock):
            at_c.receive_nowait()


async def test_every_subscriber_of_a_node_hears_a_message(world, alice, bob):
    async with (
        pair(world, alice, bob) as (a, b),
        b.subscribe("news") as first,
        b.subscribe("news") as second,
    ):
        await a.publish("news", Ask(text="x"))
        assert await first.receive() == await second.receive()


async def test_a_slow_subscriber_loses_the_newest_and_is_counted(world, alice, bob):
    limits = Limits(subscription_queue=2)
    async with pair(world, alice, bob, limits=limits) as (a, b), b.subscribe("news") as slow:
        async with b.subscribe("news") as quick:
            for number in range(5):
                await a.publish("news", Ask(text=str(number)))
                assert (await quick.receive()).message == Ask(text=str(number))
        assert [(await slow.receive()).message.text for _ in range(2)] == ["0", "1"]
        assert b.counters["gossip_dropped"] == 3


async def test_a_gossip_message_over_its_bound_is_not_sent(world, alice):
    async with world.open(alice) as a:
        with pytest.raises(MessageTooLarge):
            await a.publish("news", Ask(text="x" * 100_000))


# Requests


async def test_requests_are_answered_both_ways(world, alice, bob):
    async with pair(world, alice, bob) as (a, b):
        for server, client in ((a, b), (b, a)):
            server.serve(Ask, echo)
            answer = await client.request(server.peer_id, Ask(text="hi"), timeout_s=5)
            assert answer == Answer(text=f"{client.peer_id} hi")


async def test_two_hundred_requests_at_once(world, alice, bob):
    answers = {}
    async with pair(world, alice, bob) as (a, b):
        everybody_is_here = trio.Event()
        inside = 0

        async def all_together(_sender: str, ask: Ask) -> Answer:
            nonlocal inside
            inside += 1
            if inside == 200:
                everybody_is_here.set()
            await everybody_is_here.wait()
            return Answer(text=ask.text)

        async def client(number: int) -> None:
            answers[number] = await b.request(a.peer_id, Ask(text=str(number)), timeout_s=10)

        a.serve(Ask, all_together)
        async with trio.open_nursery() as nursery:
            for number in range(200):
                nursery.start_soon(client, number)
    assert answers == {number: Answer(text=str(number)) for number in range(200)}


async def test_large_requests_and_answers(world, alice, bob):
    async with pair(world, alice, bob) as (a, b):

        async def same(_sender: str, huge: Huge) -> Huge:
            return huge

        a.serve(Huge, same)
        huge = Huge(body=bytes(range(256)) * 12_000)
        assert await b.request(a.peer_id, huge, timeout_s=10) == huge


async def test_a_refusal_carries_code_and_text(world, alice, bob):
    async with pair(world, alice, bob) as (a, b):

        async def refuse(_sender: str, _ask: Ask) -> Answer:
            raise RequestRefused("too_late", "the lease is over")

        a.serve(Ask, refuse)
        with pytest.raises(RequestRefused) as caught:
            await b.request(a.peer_id, Ask(text="x"), timeout_s=5)
        assert (caught.value.code, caught.value.text) == ("too_late", "the lease is over")


async def test_a_failing_handler_is_refused_as_internal_and_ends_nothing(world, alice, bob, caplog):
    async with pair(world, alice, bob) as (a, b):

        async def fail(_sender: str, ask: Ask) -> Answer:
            if ask.text == "bad":
                raise ZeroDivisionError("secret detail")
            return Answer(text="fine")

        a.serve(Ask, fail)
        with pytest.raises(RequestRefused) as caught:
            await b.request(a.peer_id, Ask(text="bad"), timeout_s=5)
        assert caught.value.code == "internal"
        assert "secret" not in caught.value.text
        assert "secret detail" in caplog.text
        assert await b.request(a.peer_id, Ask(text="ok"), timeout_s=5) == Answer(text="fine")


async def test_what_nobody_serves_is_refused_as_unknown(world, alice, bob):
    async with pair(world, alice, bob) as (a, b):
        with pytest.raises(RequestRefused, match="unknown"):
            await b.request(a.peer_id, Unserved(), timeout_s=5)


async def test_too_many_requests_of_one_peer_are_refused_as_busy(world, alice, bob):
    async with pair(world, alice, bob, limits=Limits(requests_per_peer=2)) as (a, b):
        entered, leave = trio.open_memory_channel[str](10)
        go_on = trio.Event()

        async def wait(_sender: str, ask: Ask) -> Answer:
            await entered.send(ask.text)
            await go_on.wait()
            return Answer(text=ask.text)

        a.serve(Ask, wait)
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(lambda: b.request(a.peer_id, Ask(text="x"), timeout_s=5))
            for _ in range(2):
                await leave.receive()
            with pytest.raises(RequestRefused, match="busy"):
                await b.request(a.peer_id, Ask(text="third"), timeout_s=5)
            go_on.set()
        assert await b.request(a.peer_id, Ask(text="later"), timeout_s=5) == Answer(text="later")


async def test_an_answer_that_does_not_come_in_time(world, alice, bob):
    async with pair(world, alice, bob) as (a, b):

        async def sleep(_sender: str, _ask: Ask) -> Answer:
            await trio.sleep_forever()

        a.serve(Ask, sleep)
        with pytest.raises(RequestTimeout):
            await b.request(a.peer_id, Ask(text="x"), timeout_s=0.05)


async def test_a_handler_that_takes_too_long_is_refused(world, alice, bob):
    async with pair(world, alice, bob, limits=Limits(handler_timeout_s=0.05)) as (a, b):

        async def sleep(_sender: str, _ask: Ask) -> Answer:
            await trio.sleep_forever()

        a.serve(Ask, sleep)
        with pytest.raises(RequestRefused, match="timeout"):
            await b.request(a.peer_id, Ask(text="x"), timeout_s=5)


async def test_a_peer_that_is_not_connected_is_unreachable(world, alice, bob):
    async with world.open(alice) as a:
        with pytest.raises(PeerUnreachable):
            await a.request(bob.peer_id, Ask(text="x"), timeout_s=5)


async def test_requests_fail_when_the_peer_goes_away(world, alice, bob):
    async with world.open(alice) as a, trio.open_nursery() as nursery:
        reached = trio.Event()
        b_is_open, b_may_close = trio.Event(), trio.Event()

        async def never(_sender: str, _ask: Ask) -> Answer:
            reached.set()
            await trio.sleep_forever()

        async def short_life() -> None:
            async with world.open(bob) as b:
                b.serve(Ask, never)
                await meet(a, b)
                b_is_open.set()
                await b_may_close.wait()

        async def outstanding() -> None:
            with pytest.raises(PeerUnreachable):
                await a.request(bob.peer_id, Ask(text="x"), timeout_s=60)

        nursery.start_soon(short_life)
        await b_is_open.wait()
        nursery.start_soon(outstanding)
        await reached.wait()
        b_may_close.set()


async def test_a_node_can_ask_itself(world, alice):
    async with world.open(alice) as a:
        a.serve(Ask, echo)
        answer = await a.request(a.peer_id, Ask(text="me"), timeout_s=5)
        assert answer == Answer(text=f"{a.peer_id} me")
        with pytest.raises(RequestRefused, match="unknown"):
            await a.request(a.peer_id, Unserved(), timeout_s=5)


async def test_a_request_over_the_frame_bound_is_not_sent(world, alice, bob):
    async with pair(world, alice, bob, limits=Limits(max_frame_bytes=1000)) as (a, b):
        with pytest.raises(MessageTooLarge):
            await b.request(a.peer_id, Ask(text="x" * 2000), timeout_s=5)


# What we do much of ourselves


HONEST = Limits(
    neighbour_rate_per_s=300,
    neighbour_burst=150,
    request_rate_per_s=200,
    request_burst=150,
    stream_rate_per_s=100,
    stream_burst=100,
)


async def test_who_has_much_to_do_waits_and_is_not_cut_off(world, alice, bob):
    """Both sides hold each other to the same small budgets, and everything gets through."""
    async with pair(world, alice, bob, limits=HONEST) as (a, b), a.subscribe("news") as news:
        a.serve(Ask, echo)
        a.serve_bulk("artifact", serves(body_of(10)))

        async def fetch() -> None:
            await b.fetch(a.peer_id, "artifact", b"", Collector(), max_bytes=10, timeout_s=10)

        async def request() -> None:
            await b.request(a.peer_id, Ask(text="x"), timeout_s=10)

        async with trio.open_nursery() as nursery:
            for _ in range(150):
                nursery.start_soon(fetch)
            for number in range(375):
                nursery.start_soon(request)
                await b.publish("news", Ask(text=str(number)))
        heard = [(await news.receive()).message.text for _ in range(375)]
        assert sorted(heard) == sorted(map(str, range(375)))
        assert a.counters == b.counters == {}


# Bulk


def body_of(size: int) -> bytes:
    return (hashlib.sha256(b"body").digest() * (size // 32 + 1))[:size]


def source(body: bytes, sha256: bytes | None = None, size: int | None = None) -> BulkSource:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 100_000):
            yield body[start : start + 100_000]

    digest = sha256 or hashlib.sha256(body).digest()
    return BulkSource(len(body) if size is None else size, digest, chunks())


def serves(body: bytes, **lie):
    async def handler(_sender: str, _argument: bytes) -> BulkSource:
        return source(body, **lie)

    return handler


class Collector:
    def __init__(self) -> None:
        self.body = b""

    async def __call__(self, chunk: bytes) -> None:
        self.body += chunk


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
async def test_a_body_arrives_with_its_digest(world, alice, bob, size):
    body = body_of(size)
    asked = []

    async def handler(sender: str, argument: bytes) -> BulkSource:
        asked.append((sender, argument))
        return source(body)

    async with pair(world, alice, bob) as (a, b):
        a.serve_bulk("artifact", handler)
        sink = Collector()
        info = await b.fetch(a.peer_id, "artifact", b"which", sink, max_bytes=size, timeout_s=10)
    assert info == (size, hashlib.sha256(body).digest())
    assert sink.body == body
    assert asked == [(b.peer_id, b"which")]


async def test_a_body_over_the_bound_is_refused_unread(world, alice, bob):
    async with pair(world, alice, bob) as (a, b):
        a.serve_bulk("artifact", serves(body_of(1000)))
        sink = Collector()
        with pytest.raises(TransferTooLarge):
            await b.fetch(a.peer_id, "artifact", b"", sink, max_bytes=999, timeout_s=5)
        assert sink.body == b""


@pytest.mark.parametrize(
    ("lie", "error"),
    [
        ({"sha256": bytes(32)}, (DigestMismatch, PeerUnreachable)),
        ({"size": 1001}, (TransferFailed, PeerUnreachable)),
        ({"size": 999}, (TransferFailed, PeerUnreachable)),
    ],
)
async def test_a_body_that_is_not_the_announced_one_is_refused(world, alice, bob, lie, error):
    async with pair(world, alice, bob) as (a, b):
        a.serve_bulk("artifact", serves(body_of(1000), **lie))
        with pytest.raises(error):
            await b.fetch(a.peer_id, "artifact", b"", Collector(), max_bytes=9999, timeout_s=5)


async def test_bulk_refusals(world, alice, bob, caplog):
    async def missing(_sender: str, _argument: bytes) -> BulkSource:
        raise RequestRefused("missing", "no such artifact")

    async def broken(_sender: str, _argument: bytes) -> BulkSource:
        raise ZeroDivisionError

    async with pair(world, alice, bob) as (a, b):
        a.serve_bulk("missing", missing)
        a.serve_bulk("broken", broken)
        for name, code in (("missing", "missing"), ("broken", "internal"), ("no", "unknown")):
            with pytest.raises(RequestRefused) as caught:
                await b.fetch(a.peer_id, name, b"", Collector(), max_bytes=9, timeout_s=5)
            assert caught.value.code == code


async def test_a_body_that_does_not_come_in_time(world, alice, bob):
    async def stuck() -> AsyncIterator[bytes]:
        await trio.sleep_forever()
        yield b""

    async def handler(_sender: str, _argument: bytes) -> BulkSource:
        return BulkSource(5, bytes(32), stuck())

    async with pair(world, alice, bob) as (a, b):
        a.serve_bulk("stuck", handler)
        with pytest.raises(RequestTimeout):
            await b.fetch(a.peer_id, "stuck", b"", Collector(), max_bytes=9, timeout_s=0.1)


async def test_what_the_sink_raises_passes_through(world, alice, bob):
    async def full_disk(_chunk: bytes) -> None:
        raise OSError("disk full")

    async with pair(world, alice, bob) as (a, b):
        a.serve_bulk("artifact", serves(body_of(1000)))
        with pytest.raises(OSError, match="disk full"):
            await b.fetch(a.peer_id, "artifact", b"", full_disk, max_bytes=9999, timeout_s=5)


async def test_a_node_can_fetch_from_itself(world, alice):
    async with world.open(alice) as a:
        a.serve_bulk("artifact", serves(body_of(1000)))
        sink = Collector()
        await a.fetch(a.peer_id, "artifact", b"", sink, max_bytes=1000, timeout_s=5)
        assert sink.body == body_of(1000)


async def test_fetching_from_nobody(world, alice, bob):
    async with world.open(alice) as a:
        with pytest.raises(PeerUnreachable):
            await a.fetch(bob.peer_id, "x", b"", Collector(), max_bytes=9, timeout_s=5)


# Connections


async def test_connections_are_announced_and_listed(world, alice, bob):
    async with world.open(alice) as a, a.connections() as events:
        assert a.peers() == ()
        async with world.open(bob, bootstrap=a.addresses) as b:
            assert await events.receive() == PeerEvent(b.peer_id, connected=True)
            assert [peer.peer_id for peer in a.peers()] == [b.peer_id]
            assert a.peers()[0].addresses
        assert await events.receive() == PeerEvent(bob.peer_id, connected=False)
        assert a.peers() == ()


async def test_two_that_dial_each_other_are_connected_once(world, alice, bob):
    async with (
        world.open(alice) as a,
        world.open(bob) as b,
        a.connections() as at_a,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(a.connect, b.addresses[0])
        nursery.start_soon(b.connect, a.addresses[0])
        assert await at_a.receive() == PeerEvent(b.peer_id, connected=True)
        a.serve(Ask, echo)
        b.serve(Ask, echo)
        await a.request(b.peer_id, Ask(text="x"), timeout_s=5)
        await b.request(a.peer_id, Ask(text="x"), timeout_s=5)
        with pytest.raises(trio.WouldBlock):
            at_a.receive_nowait()


async def test_a_wanted_peer_is_connected_again_when_it_comes_back(world, alice, bob):
    async with world.open(alice) as a, a.connections() as events:
        async with world.open(bob) as b:
            address = b.addresses[0]
            await a.connect(address)
            b.serve(Ask, echo)
            await a.request(bob.peer_id, Ask(text="x"), timeout_s=5)
            assert await events.receive() == PeerEvent(bob.peer_id, connected=True)
        assert await events.receive() == PeerEvent(bob.peer_id, connected=False)
        async with world.open(bob, at=address) as b, b.subscribe("news") as at_b:
            b.serve(Ask, echo)
            assert await events.receive() == PeerEvent(bob.peer_id, connected=True)
            answer = await a.request(bob.peer_id, Ask(text="again"), timeout_s=5)
            assert answer == Answer(text=f"{a.peer_id} again")
            await a.publish("news", Ask(text="again"))
            assert (await at_b.receive()).message == Ask(text="again")


async def test_a_peer_wanted_before_it_exists(world, alice, bob):
    async with world.open(bob) as b:
        address = b.addresses[0]
    async with world.open(alice) as a, a.connections() as events:
        await a.connect(address)
        assert a.peers() == ()
        async with world.open(bob, at=address):
            assert await events.receive() == PeerEvent(bob.peer_id, connected=True)


async def test_wanting_oneself_does_nothing(world, alice):
    async with world.open(alice) as a:
        await a.connect(a.addresses[0])
        assert a.peers() == ()


@pytest.mark.parametrize(
    "address", ["", "nonsense", "/ip4/127.0.0.1/tcp/1/p2p/12D3Koo", "/memory/x"]
)
async def test_addresses_that_are_none(world, alice, address):
    async with world.open(alice) as a:
        with pytest.raises(BadAddress):
            await a.connect(address)
