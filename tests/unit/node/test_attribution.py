"""What is logged while a peer is answered names the peer, and the task that it asks about."""

import io
import json
import logging
from collections.abc import AsyncIterator

import pytest
import trio

from node.attribution import attributed
from node.logs import JsonLines
from p2p.identity import Identity
from p2p.memory import MemoryHub
from p2p.messages import Message, register
from p2p.network import BulkSource, Network

CHAIN = "cpc-test"
log = logging.getLogger("node.test")


@register
class AboutTask(Message, frozen=True):
    TYPE_ID = 0xFE01
    VERSION = 1
    MAX_BYTES = 100
    task_id: str


@register
class AboutNothing(Message, frozen=True):
    TYPE_ID = 0xFE02
    VERSION = 1
    MAX_BYTES = 100


@pytest.fixture
def lines():
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines("12D3node"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    log.removeHandler(handler)


@pytest.fixture
async def two() -> AsyncIterator[tuple[Network, Network]]:
    hub = MemoryHub()
    one, other = (Identity.from_seed(bytes([number]) * 32) for number in (1, 2))
    async with hub.open_network(one, CHAIN) as asked, hub.open_network(other, CHAIN) as asking:
        await asking.connect(asked.addresses[0])
        yield attributed(asked), asking


async def test_a_handlers_lines_and_those_of_its_tasks(two, lines, nursery) -> None:
    asked, asking = two
    go = trio.Event()

    async def later() -> None:
        await go.wait()
        log.info("later")

    async def handle(_sender: str, message: Message) -> Message:
        log.info("now")
        nursery.start_soon(later)
        return message

    asked.serve(AboutTask, handle)
    asked.serve(AboutNothing, handle)
    await asking.request(asked.peer_id, AboutTask("t1"), timeout_s=5)
    await asking.request(asked.peer_id, AboutNothing(), timeout_s=5)
    log.info("between")
    go.set()
    await trio.testing.wait_all_tasks_blocked()
    subjects = [(line["message"], line.get("peer"), line.get("task")) for line in lines()]
    peer = asking.peer_id
    expected = [("now", peer, "t1"), ("now", peer, None), ("between", None, None)]
    assert subjects[:3] == expected
    assert set(subjects[3:]) == {("later", peer, "t1"), ("later", peer, None)}
    assert {line["node"] for line in lines()} == {"12D3node"}


async def test_a_body_that_is_sent_is_about_whoever_fetches_it(two, lines) -> None:
    asked, asking = two

    async def find(_sender: str, _argument: bytes) -> BulkSource:
        log.info("sending")

        async def chunks() -> AsyncIterator[bytes]:
            yield b"x"

        return BulkSource(1, DIGEST, chunks())

    async def sink(_chunk: bytes) -> None:
        pass

    asked.serve_bulk("b", find)
    await asking.fetch(asked.peer_id, "b", b"", sink, max_bytes=10, timeout_s=5)
    assert [(line["message"], line["peer"]) for line in lines()] == [("sending", asking.peer_id)]


async def test_everything_else_is_the_networks_own(two) -> None:
    asked, _ = two
    assert asked.addresses
    assert asked.peers()
    assert asked.counters is not None


DIGEST = bytes.fromhex("2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881")
"""SHA-256 of `x`."""
