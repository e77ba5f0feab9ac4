"""Peers that knew each other find each other again from their books alone."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import trio

from node.addressbook import AddressBook
from node.directory import Directory
from node.roles.presence import PresenceRole
from node.roles.reunion import COURTESY_S, REVISIT_S, ReunionRole
from node.wire.presence import Presence
from p2p.memory import MemoryHub, virtual_clock_ms
from p2p.network import Network
from storage.database import Database, open_database
from storage.memory import MemoryStore

CHAIN = "cpc-devnet-1"


class Node:
    """A network with the two roles; its book outlives it."""

    def __init__(self, hub: MemoryHub, author, db: Database) -> None:
        self.hub = hub
        self.author = author
        self.db = db
        self.network: Network
        self._life = trio.CancelScope()
        self._gone = trio.Event()

    @property
    def peer_id(self) -> str:
        return self.author.identity.peer_id

    @property
    def peers(self) -> set[str]:
        return {peer.peer_id for peer in self.network.peers()}

    async def live(self, *, task_status: trio.TaskStatus[None]) -> None:
        self._gone = trio.Event()
        try:
            with trio.CancelScope() as self._life:
                await self._run(task_status)
        finally:
            self._gone.set()

    async def _run(self, task_status: trio.TaskStatus[None]) -> None:
        async with (
            self.hub.open_network(self.author.identity, CHAIN) as self.network,
            trio.open_nursery() as nursery,
        ):
            directory = Directory(CHAIN, virtual_clock_ms, 15.0)
            presence = Presence(self.author.binding, ("worker",), (), self.network.addresses)
            await nursery.start(PresenceRole(self.network, directory, presence, 5.0).run)
            book = AddressBook(self.db, virtual_clock_ms)
            await nursery.start(ReunionRole(self.network, directory, book).run)
            task_status.started()

    async def die(self) -> None:
        self._life.cancel()
        await self._gone.wait()


@pytest.fixture
async def nodes(make_author, autojump_clock, nursery) -> AsyncIterator[list[Node]]:
    """Two that are connected and have noted each other, the one that dials first before."""
    hub = MemoryHub(latency_s=0.01)
    async with AsyncExitStack() as stack:
        nodes = [
            Node(hub, make_author(n), await stack.enter_async_context(open_database(MemoryStore())))
            for n in (1, 2)
        ]
        nodes.sort(key=lambda node: node.peer_id)
        for node in nodes:
            await nursery.start(node.live)
        one, two = nodes
        await one.network.connect(two.network.addresses[0])
        await trio.sleep(1)
        yield nodes
        for node in nodes:
            await node.die()


async def test_all_are_restarted(nodes, nursery, autojump_clock) -> None:
    for node in nodes:
        await node.die()
    for node in nodes:
        await nursery.start(node.live)
    await trio.sleep(COURTESY_S / 2)
    one, two = nodes
    assert one.peers == {two.peer_id}


@pytest.mark.parametrize("which", [0, 1])
async def test_one_is_away_for_long(nodes, nursery, autojump_clock, which: int) -> None:
    """Longer than the other redials it."""
    away, other = nodes[which], nodes[1 - which]
    await away.die()
    await trio.sleep(1000)
    assert other.peers == set()
    await nursery.start(away.live)
    await trio.sleep(2 * COURTESY_S)
    assert other.peers == {away.peer_id}


async def test_a_partition_heals_that_nobody_redials_over(nodes, autojump_clock) -> None:
    one, two = nodes
    one.hub.partition(one.peer_id, two.peer_id)
    await trio.sleep(1000)
    assert one.peers == set()
    one.hub.heal(one.peer_id, two.peer_id)
    await trio.sleep(REVISIT_S + 2 * COURTESY_S)
    assert one.peers == {two.peer_id}


async def test_without_a_book_they_stay_apart(nodes, nursery, autojump_clock) -> None:
    """The negative control."""
    for node in nodes:
        await node.die()
        node.db = None
    async with AsyncExitStack() as stack:
        for node in nodes:
            node.db = await stack.enter_async_context(open_database(MemoryStore()))
            await nursery.start(node.live)
        await trio.sleep(1000)
        assert [node.peers for node in nodes] == [set(), set()]
        for node in nodes:
            await node.die()
