"""What the parent of `bench network` and its nodes say to each other."""

import msgspec
import pytest
import trio
from trio.testing import memory_stream_one_way_pair

from node.bench.network_wire import Ask, Command, Fetch, Gossip, Lines, Meet, encode


@pytest.mark.parametrize(
    "command",
    [Meet(("/a", "/b"), 3), Gossip(1, 0.5, 2, 3), Ask("x\n", 1, 2), Fetch("x", 1)],
)
async def test_a_command_is_a_line(command: Command) -> None:
    send, receive = memory_stream_one_way_pair()
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def dribble() -> None:
            for byte in 2 * encode(command):
                await send.send_all(bytes([byte]))
            await send.aclose()

        lines = Lines(receive)
        for _ in range(2):
            assert msgspec.json.decode(await lines.next(), type=Command) == command
        assert await lines.next() is None
