"""js-libp2p as a peer: it dials us and is dialled, over TCP and WebSocket.

`make test-full` installs it with npm into `tests/full/js/node_modules`, at the versions of its
lock file. Its half of the gossip is written in JavaScript from the protocol's description, so
that a change of ours which only we understand is noticed.
"""

import json
import shutil
from collections.abc import AsyncGenerator
from functools import partial
from pathlib import Path
from subprocess import PIPE

import pytest
import trio

from p2p.identity import Identity
from p2p.libp2p.network import open_libp2p_network
from p2p.messages import Message, register
from p2p.network import Network, PeerEvent, Received

FOLDER = Path(__file__).with_name("js")
INSTALLED = FOLDER / "node_modules" / "libp2p"

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is missing"),
    pytest.mark.skipif(
        shutil.which("node") is not None and not INSTALLED.is_dir(),
        reason=f"js-libp2p is not installed: `npm ci` in {FOLDER}, as `make test-full` does",
    ),
]

CHAIN = "test-chain"
TOPIC = "news"
TCP = "/ip4/127.0.0.1/tcp/0"
PATIENCE_S = 60


@register
class Note(Message, frozen=True):
    TYPE_ID = 65_250
    VERSION = 1
    MAX_BYTES = 1000
    text: str


class JsPeer:
    """The other node's process: commands in, events out."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self._buffer = b""
        self.peer_id = ""
        self.addresses: list[str] = []

    async def start(self) -> None:
        listening = await self.event("listening")
        self.peer_id, self.addresses = listening["peer"], listening["addresses"]

    async def tell(self, **command: str) -> None:
        await self._process.stdin.send_all(json.dumps(command).encode() + b"\n")

    async def event(self, name: str) -> dict:
        """The next event of the name; those before it are passed over."""
        while (event := await self._next())["event"] != name:
            assert event["event"] != "failed", event
        return event

    async def _next(self) -> dict:
        while b"\n" not in self._buffer:
            data = await self._process.stdout.receive_some()
            assert data, "the js node has ended"
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return json.loads(line)


@pytest.fixture
async def js() -> AsyncGenerator[JsPeer]:
    options = ["--import", "./polyfill.mjs", "--experimental-websocket"]
    command = ["node", *options, "peer.mjs", CHAIN, TOPIC, str(Note.TYPE_ID)]
    async with trio.open_nursery() as nursery:
        process = await nursery.start(
            partial(
                trio.run_process,
                command,
                stdin=PIPE,
                stdout=PIPE,
                check=False,
                cwd=FOLDER,
            )
        )
        peer = JsPeer(process)
        with trio.fail_after(PATIENCE_S):
            await peer.start()
        yield peer
        nursery.cancel_scope.cancel()


@pytest.fixture
async def ours() -> AsyncGenerator[Network]:
    """Its port takes both; what it announces are two addresses."""
    listen = [TCP, f"{TCP}/ws"]
    async with open_libp2p_network(Identity.generate(), CHAIN, listen) as network:
        yield network


def over(carrier: str, addresses) -> str:
    """The address of the peer over the carrier, `tcp` or `ws`."""
    return next(one for one in addresses if ("/ws" in one) == (carrier == "ws"))


async def assert_they_gossip(
    ours: Network, js: JsPeer, heard: trio.MemoryReceiveChannel[Received]
) -> None:
    """Signed twice: by gossipsub, and inside by our own envelope."""
    assert (await js.event("subscriber"))["peer"] == ours.peer_id
    for number in range(5):
        await js.tell(publish=f"from js {number}")
        assert await heard.receive() == Received(js.peer_id, Note(text=f"from js {number}"))
    for number in range(5):
        await ours.publish(TOPIC, Note(text=f"to js {number}"))
        message = await js.event("message")
        assert message["from"] == ours.peer_id
        assert message["kind"] == "signed"
        assert message["sealed"]
        assert message["fields"] == [f"to js {number}"]


@pytest.mark.parametrize("carrier", ["tcp", "ws"])
async def test_it_dials_us(ours: Network, js: JsPeer, carrier: str) -> None:
    address = over(carrier, ours.addresses)
    with trio.fail_after(PATIENCE_S):
        async with ours.subscribe(TOPIC) as heard, ours.connections() as events:
            await js.tell(dial=address)
            assert (await js.event("connect"))["peer"] == ours.peer_id
            assert await events.receive() == PeerEvent(js.peer_id, connected=True)
            identified = await js.event("identify")
            assert identified["peer"] == ours.peer_id
            assert {"/tmnode/request/1", "/meshsub/1.1.0"} <= set(identified["protocols"])
            await assert_they_gossip(ours, js, heard)
            await js.tell(ping=address)
            assert (await js.event("ping"))["ms"] < 1000


@pytest.mark.parametrize("carrier", ["tcp", "ws"])
async def test_we_dial_it(ours: Network, js: JsPeer, carrier: str) -> None:
    address = over(carrier, js.addresses)
    with trio.fail_after(PATIENCE_S):
        async with ours.subscribe(TOPIC) as heard:
            await ours.connect(address)
            assert [peer.peer_id for peer in ours.peers()] == [js.peer_id]
            assert (await js.event("identify"))["peer"] == ours.peer_id
            await assert_they_gossip(ours, js, heard)


async def test_it_notices_when_we_leave(js: JsPeer) -> None:
    with trio.fail_after(PATIENCE_S):
        async with open_libp2p_network(Identity.generate(), CHAIN, [TCP]) as ours:
            await js.tell(dial=ours.addresses[0])
            await js.event("dialled")
        assert (await js.event("disconnect"))["peer"] == ours.peer_id
