from types import SimpleNamespace

import pytest
import trio
from libp2p.stream_muxer.exceptions import MuxedStreamEOF, MuxedStreamReset
from trio.testing import MockClock

from p2p.libp2p.ping import Echo


class Pinger:
    """A peer's end of a stream of pings, of which `left` bytes are to come, none if None."""

    def __init__(self, left: int | None) -> None:
        self.left = left
        self.echoed = 0
        self.abandoned = trio.Event()

    async def read(self, n: int) -> bytes:
        await trio.lowlevel.checkpoint()
        if self.left is None:
            await self.abandoned.wait()
            raise MuxedStreamReset("abandoned")
        if not self.left:
            raise MuxedStreamEOF("done")
        size = min(n, self.left)
        self.left -= size
        return bytes(size)

    async def write(self, data: bytes) -> None:
        self.echoed += len(data)

    def abandon(self, _why: str) -> None:
        self.abandoned.set()


def stream_of(peer: str, pinger: Pinger) -> SimpleNamespace:
    return SimpleNamespace(muxed_conn=SimpleNamespace(peer_id=peer), muxed_stream=pinger)


async def test_pings_are_echoed_at_once_and_floods_of_them_slowly(autojump_clock: MockClock):
    ping, flood = Pinger(32), Pinger(10 * 32 * 1024)
    echo = Echo()
    for pinger, least_s, most_s in ((ping, 0, 0), (flood, 9, 10)):
        start_s = trio.current_time()
        with pytest.raises(MuxedStreamEOF):
            await echo.handle(stream_of("peer", pinger))
        assert least_s <= trio.current_time() - start_s <= most_s
    assert (ping.echoed, flood.echoed) == (32, 10 * 32 * 1024)


async def test_a_peer_has_one_stream_of_pings():
    echo = Echo()
    first, second = Pinger(None), Pinger(32)

    async def ended() -> None:
        with pytest.raises(MuxedStreamReset):
            await echo.handle(stream_of("peer", first))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ended)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(MuxedStreamEOF):
            await echo.handle(stream_of("peer", second))
