from collections import Counter
from collections.abc import AsyncGenerator
from itertools import pairwise

import pytest
import trio

from p2p.errors import BadAddress, PeerUnreachable
from p2p.limits import Limits
from p2p.presence import Presence
from p2p.redial import Redialer

LIMITS = Limits(redial_min_s=1, redial_max_s=8, dial_timeout_s=3, wanted_peers=2)


class World:
    """A peer that can be reached or not, and when it was dialled."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.presence = Presence(16, Counter())
        self.redialer = Redialer(nursery, self.dial, self.presence, LIMITS)
        self.reachable: set[str] = set()
        self.dialled: list[tuple[float, str]] = []

    async def dial(self, peer_id: str, address: str) -> None:
        self.dialled.append((trio.current_time(), address))
        if address == "hangs":
            await trio.sleep_forever()
        if address not in self.reachable:
            raise PeerUnreachable(peer_id, "no")
        self.presence.joined(peer_id)


@pytest.fixture
async def world() -> AsyncGenerator[World]:
    async with trio.open_nursery() as nursery:
        yield World(nursery)
        nursery.cancel_scope.cancel()


async def test_a_reachable_peer_is_connected_when_want_returns(world, autojump_clock):
    world.reachable.add("here")
    await world.redialer.want("x", "here")
    assert "x" in world.presence
    await trio.sleep(1000)
    assert len(world.dialled) == 1


async def test_pauses_double_up_to_the_last(world, autojump_clock):
    await world.redialer.want("x", "away")
    await trio.sleep(60)
    times = [time for time, _ in world.dialled]
    pauses = [later - earlier for earlier, later in pairwise(times)]
    for pause, expected in zip(pauses, [1, 2, 4, 8, 8, 8], strict=False):
        assert expected * 0.8 <= pause <= expected * 1.2


async def test_a_lost_peer_is_dialled_again_soon(world, autojump_clock):
    world.reachable.add("here")
    await world.redialer.want("x", "here")
    await trio.sleep(100)
    lost = trio.current_time()
    world.presence.left("x")
    await trio.sleep(2)
    assert "x" in world.presence
    assert world.dialled[-1][0] - lost <= 1.2


async def test_a_peer_that_hangs_up_at_once_is_dialled_ever_less(world, autojump_clock):
    world.reachable.add("here")
    await world.redialer.want("x", "here")
    async with world.presence.events() as events:
        for _ in range(6):
            world.presence.left("x")
            while not (await events.receive()).connected:
                pass
    assert world.dialled[-1][0] - world.dialled[-2][0] > 6


async def test_a_hanging_dial_gives_way_to_another_address(world, autojump_clock):
    world.reachable.add("here")
    await world.redialer.want("x", "here-not")
    await world.redialer.want("x", "hangs")
    assert world.redialer.addresses("x") == ("hangs", "here-not")
    await world.redialer.want("x", "here")
    assert "x" in world.presence


async def test_at_most_eight_addresses_of_a_peer_are_kept(world, autojump_clock):
    for number in range(12):
        await world.redialer.want("x", str(number))
    assert world.redialer.addresses("x") == tuple(map(str, range(11, 3, -1)))


async def test_a_peer_that_connected_to_us_is_not_dialled(world, autojump_clock):
    world.presence.joined("x")
    await world.redialer.want("x", "here")
    assert world.dialled == []


async def test_there_is_a_bound_on_wanted_peers(world, autojump_clock):
    await world.redialer.want("x", "1")
    await world.redialer.want("y", "2")
    with pytest.raises(BadAddress):
        await world.redialer.want("z", "3")


async def test_a_peer_that_is_wanted_for_a_time_is_given_up(world, autojump_clock):
    await world.redialer.want("x", "away", for_s=20)
    await trio.sleep(100)
    assert world.dialled[-1][0] <= 30
    assert world.redialer.addresses("x") == ()


async def test_the_time_begins_when_the_peer_is_lost(world, autojump_clock):
    world.reachable.add("here")
    await world.redialer.want("x", "here", for_s=20)
    await trio.sleep(1000)
    world.reachable.clear()
    world.presence.left("x")
    await trio.sleep(15)
    world.reachable.add("here")
    await trio.sleep(10)
    assert "x" in world.presence


async def test_the_longest_time_that_was_asked_for_counts(world, autojump_clock):
    await world.redialer.want("x", "away", for_s=1000)
    await world.redialer.want("x", "else", for_s=1)
    await trio.sleep(500)
    assert world.dialled[-1][0] > 490


async def test_who_is_given_up_leaves_room_for_others(world, autojump_clock):
    await world.redialer.want("x", "1", for_s=1)
    await world.redialer.want("y", "2", for_s=1)
    await trio.sleep(20)
    await world.redialer.want("z", "3")
    assert world.redialer.addresses("z") == ("3",)
