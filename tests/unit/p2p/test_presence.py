from collections import Counter

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from p2p.network import PeerEvent
from p2p.presence import Presence


@pytest.fixture
def presence() -> Presence:
    return Presence(16, Counter())


async def test_a_peer_counts_once_however_many_connections(presence):
    async with presence.events() as events:
        presence.joined("x")
        presence.joined("x")
        presence.left("x")
        assert presence.peers == ("x",)
        presence.left("x")
        assert presence.peers == ()
        assert [events.receive_nowait() for _ in range(2)] == [
            PeerEvent("x", connected=True),
            PeerEvent("x", connected=False),
        ]
        with pytest.raises(trio.WouldBlock):
            events.receive_nowait()


async def test_waiting_for_a_peer_to_go(presence):
    presence.joined("x")
    gone = []

    async def wait() -> None:
        await presence.wait_gone("x")
        gone.append("x")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        assert gone == []
        presence.left("x")
    assert gone == ["x"]
    await presence.wait_gone("never there")


async def test_events_beyond_the_queue_are_counted():
    counters: Counter[str] = Counter()
    presence = Presence(1, counters)
    async with presence.events():
        presence.joined("x")
        presence.joined("y")
    assert counters == {"events_dropped": 1}
