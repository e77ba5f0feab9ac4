"""The promises of a `Network` in weather of every kind, and cut links that nobody hears of."""

import hashlib
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from p2p.errors import P2PError, PeerUnreachable, RequestTimeout
from p2p.identity import Identity
from p2p.memory import MemoryHub
from p2p.messages import Message, register
from p2p.network import BulkSource, Network, PeerEvent
from p2p.weather import Weather

CHAIN = "test-chain"
NODES = 4
REQUEST_S = 5.0
SILENT_S = 10.0
LONGEST_S = 1000
"""Virtual seconds in which everything has an end, and what was cut works again."""


@register
class Word(Message):
    TYPE_ID = 65_130
    VERSION = 1
    MAX_BYTES = 1000
    text: str


async def echo(_sender: str, word: Word) -> Word:
    return word


BODY = bytes(range(256)) * 4096


async def body(_sender: str, _argument: bytes) -> BulkSource:
    async def chunks() -> AsyncIterator[bytes]:
        yield BODY

    return BulkSource(len(BODY), hashlib.sha256(BODY).digest(), chunks())


# Whatever happens


class Act(NamedTuple):
    """Something that happens to two nodes, `pause_s` after what happened before."""

    pause_s: float
    what: str
    one: int
    other: int


class Play:
    """A network whose nodes do as they are told, and what came of it."""

    def __init__(self, hub: MemoryHub, networks: list[Network]) -> None:
        self.hub = hub
        self.networks = networks
        self.heard: list[Counter[tuple[str, str]]] = [Counter() for _ in networks]
        self.said: dict[str, str] = {}
        self.ended: Counter[str] = Counter()

    async def listen(self, number: int, *, task_status: trio.TaskStatus[None]) -> None:
        async with self.networks[number].subscribe("news") as news:
            task_status.started()
            async for received in news:
                self.heard[number][received.sender, received.message.text] += 1

    async def act(self, act: Act) -> None:
        one, other = self.networks[act.one], self.networks[act.other]
        match act.what:
            case "publish":
                text = str(len(self.said))
                self.said[text] = one.peer_id
                await one.publish("news", Word(text=text))
            case "request":
                await self.ends(self.request(one, other), REQUEST_S)
            case "fetch":
                await self.ends(self.fetch(one, other), REQUEST_S)
            case "partition":
                self.hub.partition(one.peer_id, other.peer_id, silent_s=SILENT_S)
            case "break":
                self.hub.partition(one.peer_id, other.peer_id)
            case "heal":
                self.hub.heal(one.peer_id, other.peer_id)
            case "disconnect":
                self.hub.disconnect(one.peer_id)

    async def ends(self, doing, within_s: float) -> None:
        started_s = trio.current_time()
        try:
            await doing
        except (RequestTimeout, PeerUnreachable) as error:
            self.ended[type(error).__name__] += 1
        else:
            self.ended["answered"] += 1
        assert trio.current_time() - started_s <= within_s + 1e-6, "the clock is a float"

    async def request(self, one: Network, other: Network) -> None:
        word = Word(text=f"{trio.current_time()}")
        assert await one.request(other.peer_id, word, timeout_s=REQUEST_S) == word

    async def fetch(self, one: Network, other: Network) -> None:
        parts = []

        async def sink(chunk: bytes) -> None:
            parts.append(chunk)

        how = {"max_bytes": len(BODY), "timeout_s": REQUEST_S}
        await one.fetch(other.peer_id, "body", b"", sink, **how)
        assert b"".join(parts) == BODY

    async def clear_up(self) -> None:
        """Heal everything; all reach all again."""
        everybody = [network.peer_id for network in self.networks]
        self.hub.heal(everybody, everybody)
        for one in self.networks:
            for other in self.networks:
                while not await self.reaches(one, other):
                    await one.connect(other.addresses[0])

    async def reaches(self, one: Network, other: Network) -> bool:
        try:
            await one.request(other.peer_id, Word(text="?"), timeout_s=60)
        except P2PError:
            return False
        return True

    def check(self) -> None:
        for number, heard in enumerate(self.heard):
            assert set(heard.values()) <= {1}, "a message was heard twice"
            assert all(self.said[text] == sender for sender, text in heard)
            assert all(sender != self.networks[number].peer_id for sender, _ in heard)


@asynccontextmanager
async def connected(hub: MemoryHub, number: int) -> AsyncGenerator[list[Network]]:
    """Networks of which each wants all that were opened before it."""
    networks: list[Network] = []
    async with AsyncExitStack() as stack:
        for seed in range(1, number + 1):
            bootstrap = [network.addresses[0] for network in networks]
            identity = Identity.from_seed(bytes([seed]) * 32)
            opening = hub.open_network(identity, CHAIN, bootstrap=bootstrap)
            networks.append(await stack.enter_async_context(opening))
        yield networks


async def play(weather: Weather, seed: int, acts: list[Act]) -> Play:
    hub = MemoryHub(weather=weather, seed=seed)
    async with connected(hub, NODES) as networks, trio.open_nursery() as nursery:
        scene = Play(hub, networks)
        for number, network in enumerate(networks):
            network.serve(Word, echo)
            network.serve_bulk("body", body)
            await nursery.start(scene.listen, number)
        with trio.fail_after(LONGEST_S):
            async with trio.open_nursery() as doings:
                for act in acts:
                    await trio.sleep(act.pause_s)
                    doings.start_soon(scene.act, act)
            await scene.clear_up()
        nursery.cancel_scope.cancel()
    scene.check()
    return scene


WEATHER = st.builds(
    Weather,
    delay_s=st.tuples(st.floats(0, 0.1), st.floats(0.1, 1)),
    loss=st.floats(0, 0.5),
    duplication=st.floats(0, 0.5),
    reordering=st.floats(0, 1),
)
WHAT = ["publish", "request", "fetch", "partition", "break", "heal", "disconnect"]
ACT = st.builds(
    Act,
    st.floats(0, 3),
    st.sampled_from(WHAT),
    st.integers(0, NODES - 1),
    st.integers(0, NODES - 1),
)


@settings(deadline=None, max_examples=40)
@given(WEATHER, st.integers(0, 1000), st.lists(ACT, max_size=40))
def test_the_promises_hold_in_any_weather(weather, seed, acts):
    trio.run(play, weather, seed, acts, clock=MockClock(autojump_threshold=0))


STORM = Weather(delay_s=(0.01, 0.3), loss=0.2, duplication=0.5, reordering=0.5)


async def test_a_storm_loses_little_of_what_is_passed_on(autojump_clock: MockClock):
    """Every node hears from three neighbours, so that what one way loses another brings."""
    acts = [Act(0.1, "publish", number % NODES, 0) for number in range(200)]
    scene = await play(STORM, 1, acts)
    heard = sum(len(heard) for heard in scene.heard)
    assert heard > 0.95 * 200 * (NODES - 1)
    assert scene.networks[0].counters.total() == 0


async def test_requests_in_a_storm_are_late_and_answered(autojump_clock: MockClock):
    acts = [Act(0.2, "request", 0, 1 + number % 3) for number in range(100)]
    scene = await play(STORM, 2, acts)
    assert scene.ended["answered"] > 90


# Cut links


async def heard_within(channel: trio.MemoryReceiveChannel, seconds: float) -> bool:
    with trio.move_on_after(seconds):
        await channel.receive()
        return True
    return False


async def test_a_cut_link_is_silent_before_it_ends(autojump_clock: MockClock, alice, bob):
    hub = MemoryHub()
    async with (
        hub.open_network(alice, CHAIN) as a,
        hub.open_network(bob, CHAIN) as b,
        b.subscribe("news") as news,
        a.connections() as events,
    ):
        b.serve(Word, echo)
        await a.connect(b.addresses[0])
        assert (await events.receive()).connected
        hub.partition(a.peer_id, b.peer_id, silent_s=60)
        start_s = trio.current_time()
        with pytest.raises(RequestTimeout):
            await a.request(b.peer_id, Word(text="x"), timeout_s=20)
        await a.publish("news", Word(text="lost"))
        assert not await heard_within(news, 20)
        assert [peer.peer_id for peer in a.peers()] == [b.peer_id]
        with pytest.raises(PeerUnreachable):
            await a.request(b.peer_id, Word(text="x"), timeout_s=100)
        assert trio.current_time() - start_s == pytest.approx(60)
        assert await events.receive() == PeerEvent(b.peer_id, connected=False)
        assert a.peers() == b.peers() == ()


async def test_what_stood_still_goes_on_if_the_cut_heals_in_time(
    autojump_clock: MockClock, alice, bob
):
    hub = MemoryHub()
    async with hub.open_network(alice, CHAIN) as a, hub.open_network(bob, CHAIN) as b:
        asked = []

        async def count(_sender: str, word: Word) -> Word:
            asked.append(word.text)
            return word

        b.serve(Word, count)
        await a.connect(b.addresses[0])
        hub.partition(a.peer_id, b.peer_id, silent_s=60)

        async def heal_later() -> None:
            await trio.sleep(30)
            hub.heal(a.peer_id, b.peer_id)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(heal_later)
            start_s = trio.current_time()
            await a.request(b.peer_id, Word(text="x"), timeout_s=50)
            assert trio.current_time() - start_s == pytest.approx(30)
        await trio.sleep(100)
        assert [peer.peer_id for peer in a.peers()] == [b.peer_id]
        assert asked == ["x"]


async def test_an_answer_does_not_outlive_its_connection(autojump_clock: MockClock, alice, bob):
    """The first request's answer must not be taken for that of the next connection's first."""
    hub = MemoryHub(latency_s=1)
    async with hub.open_network(alice, CHAIN) as a, hub.open_network(bob, CHAIN) as b:

        async def slowly(_sender: str, word: Word) -> Word:
            await trio.sleep(4)
            return word

        b.serve(Word, slowly)
        await a.connect(b.addresses[0])
        async with trio.open_nursery() as nursery:

            async def first() -> None:
                with pytest.raises(PeerUnreachable):
                    await a.request(b.peer_id, Word(text="first"), timeout_s=30)

            nursery.start_soon(first)
            await trio.sleep(2)
            hub.disconnect(a.peer_id)
            await a.connect(b.addresses[0])
            answer = await a.request(b.peer_id, Word(text="second"), timeout_s=30)
        assert answer == Word(text="second")


async def test_two_halves_of_a_network(autojump_clock: MockClock):
    """Gossip stays in its half, requests too, and all is well after the cut has healed."""
    hub = MemoryHub(latency_s=0.01)
    async with connected(hub, 6) as networks, AsyncExitStack() as stack:
        news = [await stack.enter_async_context(network.subscribe("news")) for network in networks]
        await trio.sleep(1)
        peer_ids = [network.peer_id for network in networks]
        hub.partition(peer_ids[:3], peer_ids[3:])
        await networks[0].publish("news", Word(text="left"))
        assert [await heard_within(channel, 1) for channel in news[1:]] == [True] * 2 + [False] * 3
        hub.heal(peer_ids[:3], peer_ids[3:])
        await trio.sleep(20)
        await networks[0].publish("news", Word(text="all"))
        assert [await heard_within(channel, 1) for channel in news[1:]] == [True] * 5


async def test_weather_may_be_local_and_change(autojump_clock: MockClock, alice, bob, carol):
    hub = MemoryHub()
    async with (
        hub.open_network(alice, CHAIN) as a,
        hub.open_network(bob, CHAIN) as b,
        hub.open_network(carol, CHAIN) as c,
    ):
        for server in (b, c):
            server.serve(Word, echo)
            await a.connect(server.addresses[0])

        async def takes_s(server: Network) -> float:
            start_s = trio.current_time()
            await a.request(server.peer_id, Word(text="x"), timeout_s=60)
            return trio.current_time() - start_s

        hub.change_weather(Weather(delay_s=(5, 5)), a.peer_id, b.peer_id)
        assert [await takes_s(server) for server in (b, c)] == pytest.approx([10, 0])
        hub.change_weather(Weather(delay_s=(1, 1)))
        assert [await takes_s(server) for server in (b, c)] == pytest.approx([10, 2])
