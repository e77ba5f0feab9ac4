"""The development chain over real sockets and a real disk, as a process that gets killed."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import trio
import trio.testing

from node.l1.blocks import Block
from node.l1.client import HttpL1Client
from node.l1.devchain.config import DevChainConfig, Genesis
from node.l1.devchain.run import open_devchain
from node.l1.errors import PortInUse
from node.l1.follower import Follower
from node.l1.keys import AccountKey
from node.l1.sender import OutboundRecord, Sender
from node.l1.transactions import transfer
from storage.database import open_database
from storage.errors import StoreLocked
from storage.memory import MemoryStore
from storage.store import Batch

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "tests/system/devchain_program.py"


def key_of(number: int) -> AccountKey:
    return AccountKey(number.to_bytes(32, "big"))


@pytest.fixture
def configured(tmp_path: Path) -> Callable[..., DevChainConfig]:
    def configured(**changes: object) -> DevChainConfig:
        fields: dict[str, object] = {
            "proposer": key_of(99),
            "genesis": Genesis(
                alloc={key_of(number).address: 10**24 for number in range(1, 5)},
                genesis_time=int(time.time()),
            ),
            "data_dir": tmp_path / "l1",
            "port": 0,
            "block_time_s": 0.1,
        }
        return DevChainConfig(**{**fields, **changes})  # type: ignore[arg-type]

    return configured


@asynccontextmanager
async def running(arguments: list[str]) -> AsyncIterator[tuple[trio.Process, str]]:
    """The program as a process, and its URL."""
    command = [sys.executable, str(PROGRAM), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE, env=environment)
    try:
        assert process.stdout is not None
        with trio.fail_after(30):
            url = (await process.stdout.receive_some()).decode().strip()
        yield process, url
    finally:
        process.kill()
        await process.wait()
        assert process.stdout is not None
        await process.stdout.aclose()


async def test_a_client_a_sender_and_a_follower(configured: Callable[..., DevChainConfig]) -> None:
    settled, seen = trio.Event(), []

    async with (
        open_devchain(configured()) as served,
        httpx.AsyncClient(verify=False) as http,
        open_database(MemoryStore()) as db,
        trio.open_nursery() as nursery,
    ):
        client = HttpL1Client(served.url, http)
        proposers = [served.chain.config.proposer.public_key]
        sender = Sender(key_of(1), db, client, poll_s=0.05, proposer_keys=proposers)

        def confirmed(_batch: Batch, record: OutboundRecord) -> None:
            if record.cause == "pay:19":
                settled.set()

        def handler(_batch: Batch, block: Block) -> None:
            seen.extend(tx.amount for tx in block.txs)

        sender.on_confirmed = confirmed
        follower = Follower(client, db, handler, poll_s=0.05, proposer_keys=proposers)
        with trio.fail_after(60):
            await nursery.start(sender.run)
            await sender.ready.wait()
            batch = Batch()
            for number in range(20):
                sender.stage(batch, f"pay:{number}", transfer(key_of(5).address, number + 1))
            db.stage(batch)
            await settled.wait()
            await follower.catch_up()
        assert seen == list(range(1, 21))
        assert await client.balance(key_of(5).address) == sum(range(1, 21))
        nursery.cancel_scope.cancel()


async def test_a_port_in_use_is_one_clear_error(
    configured: Callable[..., DevChainConfig], tmp_path: Path
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortInUse, match=f"127.0.0.1:{port} is in use"):
            async with open_devchain(configured(port=port)):
                pass
    assert not (tmp_path / "l1").exists()


async def test_a_second_chain_on_the_directory_is_one_clear_error(
    configured: Callable[..., DevChainConfig],
) -> None:
    config = configured()
    async with open_devchain(config):
        with pytest.raises(StoreLocked):
            async with open_devchain(config):
                pass


async def test_stopping_ends_event_streams_and_lets_answers_out(
    configured: Callable[..., DevChainConfig],
) -> None:
    frames: list[str] = []
    ended = trio.Event()
    async with httpx.AsyncClient(verify=False, timeout=30) as http, trio.open_nursery() as nursery:

        async def listen(
            url: str, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
        ) -> None:
            async with http.stream("GET", f"{url}/events/stream") as response:
                async for text in response.aiter_text():
                    frames.append(text)
                    if len(frames) == 1:
                        task_status.started()
            ended.set()

        with trio.fail_after(30):
            async with open_devchain(configured()) as served:
                await nursery.start(listen, served.url)
                stop_at = trio.current_time()
            await ended.wait()
        assert trio.current_time() - stop_at < 10
        assert frames == [": ping\n\n"]


async def test_thousands_of_requests_on_one_connection(
    configured: Callable[..., DevChainConfig],
) -> None:
    async with open_devchain(configured()) as served:
        stream = await trio.open_tcp_stream(served.host, served.port)
        async with stream:
            for _ in range(1_100):
                await stream.send_all(b"GET /nonce/x HTTP/1.1\r\nhost: a\r\n\r\n")
                answer = b""
                while not answer.endswith(b"}"):
                    received = await stream.receive_some()
                    assert received
                    answer += received


@pytest.mark.parametrize("request_line", ["PUT /x", "DELETE /status", "GET /status", "POST /x"])
async def test_an_answer_waits_for_its_request(
    configured: Callable[..., DevChainConfig], request_line: str
) -> None:
    """The web server used to lose connections on which the answer came before the body."""
    async with open_devchain(configured()) as served:
        stream = await trio.open_tcp_stream(served.host, served.port)
        async with stream:
            for _ in range(3):
                head = f"{request_line} HTTP/1.1\r\nhost: a\r\ncontent-length: 200000\r\n\r\n"
                await stream.send_all(head.encode())
                await stream.send_all(bytes(100_000))
                await trio.testing.wait_all_tasks_blocked(0.01)
                await stream.send_all(bytes(100_000))
                with trio.fail_after(30):
                    answer = b""
                    while not answer.endswith(b"}"):
                        answer += await stream.receive_some()
                assert answer.startswith(b"HTTP/1.1 ")


async def test_kill_9_loses_no_block_that_was_shown(tmp_path: Path) -> None:
    """Blocks of every life follow each other, and what was in one stays in it."""
    arguments = [str(tmp_path / "l1"), "0", str(int(time.time()))]
    lives, each = 3, 10
    async with open_database(MemoryStore()) as db:
        seen = Nonces()
        for life in range(1, lives + 1):
            async with (
                running(arguments) as (_process, url),
                httpx.AsyncClient(verify=False) as http,
            ):
                client = HttpL1Client(url, http)
                follower = Follower(client, db, seen.handler, poll_s=0.02)
                with trio.fail_after(60):
                    for nonce in range((life - 1) * each, life * each):
                        await client.send(transfer(key_of(5).address, 1).signed(key_of(1), nonce))
                    await seen.wait_for(follower, life * each)
        async with running(arguments) as (process, url), httpx.AsyncClient(verify=False) as http:
            everything = Nonces()
            await Follower(HttpL1Client(url, http), db, everything.handler, name="new").catch_up()
            assert everything.order == seen.order == list(range(lives * each))
            process.send_signal(signal.SIGTERM)
            with trio.fail_after(30):
                assert await process.wait() == 0


class Nonces:
    """The nonces in the blocks that were shown."""

    def __init__(self) -> None:
        self.order: list[int] = []
        self._enough = trio.Event()
        self._wanted = 0

    def handler(self, batch: Batch, block: Block) -> None:
        self.order.extend(tx.nonce for tx in block.txs)
        batch.put(b"seen", str(len(self.order)).encode())
        if len(self.order) >= self._wanted:
            self._enough.set()

    async def wait_for(self, follower: Follower, wanted: int) -> None:
        self._enough, self._wanted = trio.Event(), wanted
        async with trio.open_nursery() as nursery:
            await nursery.start(follower.run)
            await self._enough.wait()
            nursery.cancel_scope.cancel()
