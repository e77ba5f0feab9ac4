"""Peers that do what is allowed, only far too often: they are cut off and nobody else suffers.

The victim and its good peer are in this process, the flooder in another. While the flood lasts
the good peer goes on publishing, and how long its gossip takes is measured.
"""

import logging
import math
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import trio

from p2p.identity import Identity
from p2p.libp2p.network import open_libp2p_network
from p2p.limits import Limits
from p2p.messages import Message, register
from p2p.network import BulkSource, Network

pytestmark = pytest.mark.system

logger = logging.getLogger(__name__)

ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}
CHAIN, TOPIC = "test-chain", "news"
LOOPBACK = "/ip4/127.0.0.1/tcp/0"
NO_LIMITS = Limits(
    signed_per_s=1e9,
    neighbour_rate_per_s=1e9,
    neighbour_burst=1e9,
    request_rate_per_s=1e9,
    request_burst=1e9,
    stream_rate_per_s=1e9,
    stream_burst=1e9,
    frame_rate_per_s=1e9,
    frame_burst=1e9,
    max_unread_bytes=1 << 40,
)
FLOOD_S = 3.5
FLOODS_PER_S = {
    "gossip": 900,
    "signed": 300,
    "requests": 4500,
    "streams": 350,
    "frames": 60_000,
    "unread": 5,
}
"""What it takes to be a flood that has to end within two seconds."""
PUBLISHED_EVERY_S = 0.02
CUT_OFF_WITHIN_S = 2.0
HONEST_P99_S = 0.25
FLOODS = {
    "gossip": "gossip_flood",
    "signed": "signed_flood",
    "requests": "request_flood",
    "streams": "stream_flood",
    "frames": "frame_flood",
    "unread": "unread_flood",
}


@register
class Tick(Message):
    TYPE_ID = 65_230
    VERSION = 1
    MAX_BYTES = 1000
    sent_s: float


class Report(msgspec.Struct, forbid_unknown_fields=True):
    """What the flooder says in the end."""

    began_s: float
    cut_off_s: float | None
    sent: int


class Heard(msgspec.Struct):
    """A tick of the good peer: when it arrived, and how long it took."""

    at_s: float
    latency_s: float


def p99(latencies: list[float]) -> float:
    return sorted(latencies)[math.ceil(len(latencies) * 0.99) - 1] if latencies else 0.0


@asynccontextmanager
async def two_peers(limits: Limits) -> AsyncGenerator[tuple[Network, Network]]:
    async with AsyncExitStack() as stack:
        victim, good = [
            await stack.enter_async_context(
                open_libp2p_network(Identity.generate(), CHAIN, [LOOPBACK], (), limits)
            )
            for _ in range(2)
        ]
        victim.serve_bulk("slow", slow)
        await good.connect(victim.addresses[0])
        yield victim, good


async def slow(_sender: str, _argument: bytes) -> BulkSource:
    await trio.sleep_forever()
    raise AssertionError


async def tick(good: Network) -> None:
    due_s = trio.current_time()
    while True:
        await good.publish(TOPIC, Tick(sent_s=time.monotonic()))
        due_s += PUBLISHED_EVERY_S
        await trio.sleep_until(due_s)


class Scene:
    """What there was to see of a flood."""

    def __init__(self) -> None:
        self.report: Report
        self.heard: list[Heard] = []
        self.arrivals = 0
        self.counters: Counter[str] = Counter()

    def latencies(self, since_s: float, until_s: float = math.inf) -> list[float]:
        return [one.latency_s for one in self.heard if since_s < one.at_s < until_s]

    async def listen(self, channel: trio.MemoryReceiveChannel) -> None:
        async for received in channel:
            now_s = time.monotonic()
            self.heard.append(Heard(now_s, now_s - received.message.sent_s))

    async def count_arrivals(self, events: trio.MemoryReceiveChannel) -> None:
        async for event in events:
            self.arrivals += event.connected


async def flooded(how: str, limits: Limits, seconds: float) -> Scene:
    """Let a flooder at a victim for so long."""
    scene = Scene()
    command = [sys.executable, str(ROOT / "tests/system/p2p_flooder.py"), how]
    async with (
        two_peers(limits) as (victim, good),
        victim.subscribe(TOPIC) as channel,
        victim.connections() as events,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(scene.listen, channel)
        nursery.start_soon(scene.count_arrivals, events)
        nursery.start_soon(tick, good)
        command += [victim.addresses[0], str(seconds)]
        done = await trio.run_process(command, capture_stdout=True, env=ENVIRONMENT)
        scene.report = msgspec.json.decode(done.stdout, type=Report)
        scene.counters += victim.counters
        nursery.cancel_scope.cancel()
    return scene


async def cut_off(how: str) -> Scene:
    """A flood that ended with its peer, for what it did, and nobody else cut off."""
    with trio.fail_after(30):
        scene = await flooded(how, Limits(), FLOOD_S)
    began_s, cut_off_s = scene.report.began_s, scene.report.cut_off_s
    per_s = scene.report.sent / ((cut_off_s or began_s + FLOOD_S) - began_s)
    if per_s < FLOODS_PER_S[how]:
        pytest.skip(f"this machine is too busy for a flood: only {per_s:.0f}/s of {how}")
    assert cut_off_s is not None
    assert scene.arrivals == 1
    assert scene.counters[f"peers_cut_off_{FLOODS[how]}"] == 1
    during, after = scene.latencies(began_s, cut_off_s), scene.latencies(cut_off_s)
    assert after, "the good peer's gossip goes on"
    logger.info(
        "%s: cut off after %.2f s and %d sent; gossip p99 %.0f ms until then, %.0f ms after",
        *(how, cut_off_s - began_s, scene.report.sent, p99(during) * 1000, p99(after) * 1000),
    )
    return scene


@pytest.mark.parametrize("how", FLOODS)
async def test_a_flood_ends_with_its_peer_cut_off(how):
    await cut_off(how)


@pytest.mark.full
@pytest.mark.parametrize("how", FLOODS)
async def test_a_flood_ends_in_time(how):
    """By the clock, so that it wants a machine that has nothing much to do besides."""
    scene = await cut_off(how)
    began_s, cut_off_s = scene.report.began_s, scene.report.cut_off_s
    assert cut_off_s - began_s < CUT_OFF_WITHIN_S
    after = scene.latencies(cut_off_s)
    assert len(after) > 50
    assert p99(after) < HONEST_P99_S


@pytest.mark.full
@pytest.mark.parametrize("how", FLOODS)
async def test_without_its_limit_a_flood_goes_on(how):
    """The control: what cuts the flooder off above is the limit and nothing else."""
    with trio.fail_after(30):
        scene = await flooded(how, NO_LIMITS, 2.2)
    assert scene.report.cut_off_s is None
    latencies = scene.latencies(scene.report.began_s)
    logger.info("%s: %d sent; gossip p99 %.0f ms", how, scene.report.sent, p99(latencies) * 1000)
