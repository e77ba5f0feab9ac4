"""The tip of the L1, and for how long it has been silent."""

import pytest
import trio

from node.chainwatch import ChainWatch
from node.l1.client import HttpL1Client, Status
from node.l1.errors import L1Unavailable
from node.waiting import l1_obstacle

HASH = "ab" * 32


class Chain(HttpL1Client):
    """Answers for so many times, then no more."""

    def __init__(self, answers: int) -> None:
        self.answers = answers

    async def status(self) -> Status:
        await trio.lowlevel.checkpoint()
        if self.answers == 0:
            raise L1Unavailable("down")
        self.answers -= 1
        return Status(height=7, last_hash=HASH, network="n", mempool_size=0, epoch=0)


async def test_silence_counts_from_the_last_answer(
    autojump_clock: trio.abc.Clock, nursery: trio.Nursery
) -> None:
    watch = ChainWatch(Chain(5))
    await nursery.start(watch.run)
    await trio.sleep(4.5)
    assert (watch.height, watch.reachable, watch.last_hash.hex()) == (7, True, HASH)
    assert watch.silent_s == pytest.approx(0.5)
    assert l1_obstacle(watch.height, watch.silent_s) == ()
    await trio.sleep(60)
    assert (watch.height, watch.reachable) == (7, False)
    assert watch.silent_s == pytest.approx(60.5)
    assert l1_obstacle(watch.height, watch.silent_s) == (
        "the L1 has not answered for 60 s; its last block was 7",
    )


async def test_an_l1_that_never_answered_is_silent_since_the_start(
    autojump_clock: trio.abc.Clock, nursery: trio.Nursery
) -> None:
    watch = ChainWatch(Chain(0))
    assert watch.silent_s == 0
    await nursery.start(watch.run)
    await trio.sleep(30)
    assert (watch.height, watch.silent_s) == (None, pytest.approx(30))
