"""Eight processes that know one address find each other, whoever is killed and comes back."""

import json
import multiprocessing
import os
from collections.abc import AsyncGenerator, Callable, Iterable
from importlib import import_module
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import trio

pytestmark = pytest.mark.system

HERE = Path(__file__).parent
PROGRAM = "discovery_program"
ANYWHERE = "/ip4/127.0.0.1/tcp/0"
NODES = 8
PATIENCE_S = 60.0


Start = Callable[..., BaseProcess]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Start:
    """Starts a node's process. A server that has imported everything forks them, which is quick."""
    monkeypatch.syspath_prepend(HERE)
    monkeypatch.setenv("PYTHONPATH", f"{HERE}{os.pathsep}{HERE.parents[1]}")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([PROGRAM])
    program = import_module(PROGRAM)

    def started(*arguments: object) -> BaseProcess:
        process = context.Process(target=program.main, args=arguments, daemon=True)
        process.start()
        return process

    return started


class Node:
    """A place on the network: its folder stays, its process comes and goes."""

    def __init__(self, nursery: trio.Nursery, start: Start, folder: Path) -> None:
        self._nursery = nursery
        self._start = start
        self._folder = folder
        self._process: BaseProcess | None = None
        self._changed = trio.Event()
        self.address = ""
        self.peers: set[str] = set()

    @property
    def peer_id(self) -> str:
        return self.address.rpartition("/")[2]

    async def start(self, *bootstrap: str, listen: str = ANYWHERE) -> None:
        ear, mouth = multiprocessing.Pipe(duplex=False)
        self._process = self._start(self._folder, listen, bootstrap, mouth)
        mouth.close()
        self.address = ""
        stream = trio.lowlevel.FdStream(os.dup(ear.fileno()))
        ear.close()
        self._nursery.start_soon(self._read, self._process, stream)
        with trio.fail_after(PATIENCE_S):
            while not self.address:
                await self._changed.wait()

    async def start_where_it_was(self, *bootstrap: str) -> None:
        await self.start(*bootstrap, listen=self.address.partition("/p2p/")[0])

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process.close()
            self._process = None
        self.peers = set()

    async def sees(self, others: Iterable["Node"]) -> None:
        """Returns once it is connected to exactly these."""
        wanted = {other.peer_id for other in others if other is not self}
        while self.peers != wanted:
            await self._changed.wait()

    async def _read(self, process: BaseProcess, stream: trio.abc.ReceiveStream) -> None:
        buffer = b""
        async for data in stream:
            *lines, buffer = (buffer + data).split(b"\n")
            for line in map(json.loads, lines):
                if isinstance(line, str):
                    self.address = line
                elif process is self._process:
                    self.peers = set(line)
            self._changed.set()
            self._changed = trio.Event()


class Town:
    """The nodes; the first is the one whose address the others are given."""

    def __init__(self, nodes: list[Node]) -> None:
        self.nodes = nodes
        self.bootstrap, *self.others = nodes

    async def all_meet(self, nodes: list[Node] | None = None) -> None:
        nodes = nodes or self.nodes
        with trio.fail_after(PATIENCE_S):
            for node in nodes:
                await node.sees(nodes)

    async def start_all(self, nodes: list[Node]) -> None:
        async with trio.open_nursery() as nursery:
            for node in nodes:
                nursery.start_soon(node.start, self.bootstrap.address)


@pytest.fixture
async def town(tmp_path: Path, start: Start) -> AsyncGenerator[Town]:
    async with trio.open_nursery() as nursery:
        town = Town([Node(nursery, start, tmp_path / str(number)) for number in range(NODES)])
        try:
            await town.bootstrap.start()
            await town.start_all(town.others)
            yield town
        finally:
            for node in town.nodes:
                node.kill()
        nursery.cancel_scope.cancel()


async def test_all_find_each_other_and_anyone_who_is_killed_comes_back(town: Town) -> None:
    """Anywhere else than before, except for the bootstrap node, whose address all were given."""
    await town.all_meet()
    for node in town.others:
        node.kill()
        await node.start(town.bootstrap.address)
        await town.all_meet()
    town.bootstrap.kill()
    await town.bootstrap.start_where_it_was()
    await town.all_meet()


async def test_all_but_the_bootstrap_node_are_killed_at_once(town: Town) -> None:
    await town.all_meet()
    for node in town.others:
        node.kill()
    await town.start_all(town.others)
    await town.all_meet()


async def test_the_address_books_are_enough(town: Town) -> None:
    """Nobody is given an address, and the bootstrap node never comes back."""
    await town.all_meet()
    for node in town.nodes:
        node.kill()
    for node in town.others:
        await node.start_where_it_was()
    await town.all_meet(town.others)
