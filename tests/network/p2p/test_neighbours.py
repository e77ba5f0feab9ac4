"""The streams of libp2p nodes for gossip: one each way, whatever becomes of connections."""

from collections.abc import AsyncGenerator

import pytest
import trio
from libp2p.peer.id import ID

from p2p.libp2p.network import Libp2pNetwork
from p2p.network import PeerEvent
from tests.network.p2p.conftest import PATIENCE_S, Libp2pWorld
from tests.network.p2p.test_contract import Ask


@pytest.fixture
async def two(alice, bob) -> AsyncGenerator[tuple[Libp2pNetwork, Libp2pNetwork]]:
    """Two that hear each other, and say nothing more."""
    world = Libp2pWorld()
    async with (
        world.open(alice) as a,
        world.open(bob) as b,
        a.subscribe("news") as at_a,
        b.subscribe("news") as at_b,
        a.connections() as arrivals,
    ):
        await b.connect(a.addresses[0])
        assert await arrivals.receive() == PeerEvent(b.peer_id, connected=True)
        await a.publish("news", Ask(text="from a"))
        await b.publish("news", Ask(text="from b"))
        await at_a.receive()
        await at_b.receive()
        yield a, b


async def until_heard(a: Libp2pNetwork, b: Libp2pNetwork) -> None:
    """Wait until `a` knows again what `b` listens to."""
    peer_id, topic = ID.from_string(b.peer_id), "/tmnode/test-chain/news"
    await a._pubsub.wait_for_subscription(peer_id, topic, PATIENCE_S)


async def test_a_stream_that_the_neighbour_ended_is_opened_again(two) -> None:
    """Though nobody has anything to say: else both would wait for the other for ever."""
    a, b = two
    peer_id = ID.from_string(b.peer_id)
    a._pubsub._inflow._streams[peer_id].abandon("replaced")
    a._pubsub._forget_all_subscriptions(peer_id)
    await until_heard(a, b)


async def test_two_connections_make_one_stream(two, monkeypatch) -> None:
    """Both are announced, and while a stream is opened on one of them, none is on the other."""
    a, b = two
    peer_id, opened = ID.from_string(a.peer_id), []
    open_stream = b._host.new_stream

    async def counted(*arguments):
        opened.append(arguments)
        await trio.testing.wait_all_tasks_blocked(0.01)
        return await open_stream(*arguments)

    a._pubsub._forget_all_subscriptions(ID.from_string(b.peer_id))
    monkeypatch.setattr(b._host, "new_stream", counted)
    del b._pubsub.peers[peer_id]
    b._pubsub.peer_queues.pop(peer_id).close()
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(b._pubsub._handle_new_peer, peer_id)
    await until_heard(a, b)
    assert len(opened) == 1
