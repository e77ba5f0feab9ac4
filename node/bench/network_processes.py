"""The processes of `bench network`: nodes that do as they are told, and the peer's server."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

import msgspec
import trio

from node.bench.network_wire import Command, Lines, Ready, Reply, Took, encode

T = TypeVar("T")


class Node:
    """One process with a network."""

    def __init__(self, process: trio.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin = process.stdin
        self._lines = Lines(process.stdout)
        self.address = ""

    @property
    def peer_id(self) -> str:
        """Its peer id, once it is ready."""
        return self.address.rpartition("/")[2]

    async def ready(self) -> None:
        """Wait until it listens."""
        reply = await self._reply()
        assert isinstance(reply, Ready)
        self.address = reply.address

    async def do(self, command: Command) -> Took:
        """Have a command done; returns what was measured."""
        await self._stdin.send_all(encode(command))
        reply = await self._reply()
        assert isinstance(reply, Took)
        return reply

    async def _reply(self) -> Reply:
        reply: Reply = msgspec.json.decode(await _line(self._lines), type=Ready | Took)
        return reply


class Peer:
    """The asyncio server's port, and how its clients are run."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def measure(self, client: Callable[..., Coroutine[Any, Any, T]], *args: int) -> T:
        """What the client measures, in a thread of its own."""
        return await trio.to_thread.run_sync(asyncio.run, client(self._port, *args))


@asynccontextmanager
async def open_nodes(count: int, *arguments: str) -> AsyncIterator[Sequence[Node]]:
    """So many nodes that are ready and know nobody."""
    command = ("node.bench.network_child", *arguments)
    async with trio.open_nursery() as nursery:
        nodes = [Node(await _start(nursery, *command)) for _ in range(count)]
        for node in nodes:
            await node.ready()
        yield nodes
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def open_peer() -> AsyncIterator[Peer]:
    """The server of what the network is compared with."""
    async with trio.open_nursery() as nursery:
        process = await _start(nursery, "node.bench.network_peer")
        assert process.stdout is not None
        yield Peer(int(await _line(Lines(process.stdout))))
        nursery.cancel_scope.cancel()


async def all_do(nodes: Sequence[Node], command: Callable[[int], Command]) -> list[Took]:
    """Give every node its command at the same time."""
    took: dict[int, Took] = {}

    async def do(at: int) -> None:
        took[at] = await nodes[at].do(command(at))

    async with trio.open_nursery() as nursery:
        for at in range(len(nodes)):
            nursery.start_soon(do, at)
    return [took[at] for at in range(len(nodes))]


async def _start(nursery: trio.Nursery, *module: str) -> trio.Process:
    command = [sys.executable, "-m", *module]
    pipe = subprocess.PIPE
    process: trio.Process = await nursery.start(
        partial(trio.run_process, command, stdin=pipe, stdout=pipe)
    )
    return process


async def _line(lines: Lines) -> bytes:
    line = await lines.next()
    if line is None:
        raise RuntimeError("a process of the benchmark has ended")
    return line
