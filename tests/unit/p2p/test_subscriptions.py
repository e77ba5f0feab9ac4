import pytest
import trio

from p2p.subscriptions import Broadcast, Topics


async def test_everybody_who_listens_gets_everything_from_then_on():
    broadcast: Broadcast[int] = Broadcast(8, lambda: None)
    broadcast.send(1)
    async with broadcast.listen() as first:
        broadcast.send(2)
        async with broadcast.listen() as second:
            broadcast.send(3)
            assert [await first.receive() for _ in range(2)] == [2, 3]
            assert await second.receive() == 3
        assert broadcast.listeners == 1
    assert broadcast.listeners == 0
    broadcast.send(4)


async def test_a_full_queue_drops_the_newest_for_that_listener_only():
    drops = []
    broadcast: Broadcast[int] = Broadcast(2, lambda: drops.append(1))
    async with broadcast.listen() as slow, broadcast.listen() as quick:
        for number in range(3):
            broadcast.send(number)
            assert await quick.receive() == number
        assert [slow.receive_nowait() for _ in range(2)] == [0, 1]
        with pytest.raises(trio.WouldBlock):
            slow.receive_nowait()
    assert drops == [1]


async def test_a_listener_that_closed_its_channel_is_forgotten():
    broadcast: Broadcast[int] = Broadcast(2, lambda: None)
    async with broadcast.listen() as channel:
        await channel.aclose()
        broadcast.send(1)
        assert broadcast.listeners == 0


async def test_topics_are_separate_and_forgotten_with_their_last_listener():
    topics: Topics[int] = Topics(8, lambda: None)
    async with topics.listen("a") as a:
        async with topics.listen("a"), topics.listen("b") as b:
            topics.deliver("a", 1)
            topics.deliver("c", 2)
            assert await a.receive() == 1
            with pytest.raises(trio.WouldBlock):
                b.receive_nowait()
        assert "a" in topics
        assert "b" not in topics
    assert "a" not in topics
