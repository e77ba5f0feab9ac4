"""Following the chain: order, checks, and exactly once whatever crashes where."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from node.l1.blocks import Block, check_roots
from node.l1.client import Status
from node.l1.errors import L1Malformed, L1Unavailable
from node.l1.follower import Follower
from node.l1.keys import AccountKey
from node.l1.transactions import transfer
from storage.database import Database, open_database
from storage.errors import StorageFailed
from storage.memory import MemoryStore
from storage.store import Batch
from storage.tables import Table


class Seen(msgspec.Struct, frozen=True):
    times: int


class Journal:
    """A handler that counts, on disk, how often each block came."""

    def __init__(self, db: Database) -> None:
        self._table = Table(db, "seen", Seen)
        self.order: list[int] = []

    def __call__(self, batch: Batch, block: Block) -> None:
        key = block.header.height.to_bytes(8, "big")
        before = self._table.get(key)
        self._table.put(batch, key, Seen(1 if before is None else before.times + 1))
        self.order.append(block.header.height)

    @property
    def times(self) -> dict[int, int]:
        return {int.from_bytes(key, "big"): seen.times for key, seen in self._table.items()}


class DyingStore(MemoryStore):
    """A store whose process dies at the writes it is told to, before or after they are done."""

    def __init__(self, deaths: list[tuple[int, bool]]) -> None:
        super().__init__()
        self._deaths = deaths
        self._left = deaths[0][0] if deaths else None

    def write(self, batch: Batch, *, sync: bool) -> None:
        if self._left == 0:
            _, done = self._deaths.pop(0)
            self._left = self._deaths[0][0] if self._deaths else None
            if done:
                super().write(batch, sync=sync)
            raise StorageFailed("the process died")
        if self._left is not None:
            self._left -= 1
        super().write(batch, sync=sync)


@pytest.fixture
def spend(world: Any, key: Callable[[int], AccountKey]) -> Callable[[], Any]:
    async def spend() -> None:
        one = key(1)
        nonce = await world.client.nonce(one.address, pending=True)
        await world.client.send(transfer(key(2).address, 1).signed(one, nonce))

    return spend


async def test_blocks_come_in_order_once_they_are_confirmed(
    world: Any, spend: Callable[[], Any]
) -> None:
    async with open_database(MemoryStore()) as db:
        journal = Journal(db)
        follower = Follower(world.client, db, journal, confirmations=3)
        assert follower.height is None
        await follower.catch_up()
        assert (journal.order, follower.height) == ([], -1)
        await spend()
        await world.mine(4)
        await follower.catch_up()
        await follower.catch_up()
        assert (journal.order, follower.height) == ([0, 1, 2], 2)


async def test_from_a_height_and_from_the_tip(world: Any) -> None:
    await world.mine(5)
    async with open_database(MemoryStore()) as db:
        from_height, from_tip = Journal(db), Journal(db)
        one = Follower(world.client, db, from_height, name="one", start_height=4)
        other = Follower(world.client, db, from_tip, name="other", start_height=None)
        await one.catch_up()
        await other.catch_up()
        await world.mine()
        await one.catch_up()
        await other.catch_up()
        assert (from_height.order, from_tip.order) == ([4, 5, 6], [6])


async def test_it_goes_on_where_it_stopped(world: Any) -> None:
    store = MemoryStore()
    for _ in range(3):
        async with open_database(store) as db:
            journal = Journal(db)
            await Follower(world.client, db, journal).catch_up()
            await world.mine(2)
    assert journal.times == {0: 1, 1: 1, 2: 1, 3: 1, 4: 1}


async def test_what_no_handler_wrote_is_not_written_each_time(world: Any) -> None:
    await world.mine(31)
    async with open_database(MemoryStore()) as db:
        follower = Follower(world.client, db, lambda _batch, _block: None)
        await follower.catch_up()
        await world.mine(1)
        before = db.syncs
        for _ in range(20):
            await world.mine()
            await follower.catch_up()
        assert db.syncs <= before + 1
        assert follower.height == 52


@settings(max_examples=25, deadline=None)
@given(
    deaths=st.lists(st.tuples(st.integers(0, 6), st.booleans()), max_size=6),
    blocks=st.integers(1, 12),
    confirmations=st.integers(1, 3),
)
def test_exactly_once_whatever_dies_when(
    make_world: Callable[..., Any],
    deaths: list[tuple[int, bool]],
    blocks: int,
    confirmations: int,
) -> None:
    async def main() -> None:
        world, store = make_world(), DyingStore(deaths)
        async with world.running():
            times = None
            while times is None:
                try:
                    async with open_database(store) as db:
                        journal = Journal(db)
                        follower = Follower(world.client, db, journal, confirmations=confirmations)
                        while world.chain.tip.height < blocks:
                            await world.mine()
                            await follower.catch_up()
                        await follower.catch_up()
                        times = journal.times
                except StorageFailed:
                    continue
        assert times == dict.fromkeys(range(blocks - confirmations + 2), 1)

    trio.run(main)


async def test_run_survives_the_l1(
    make_world: Callable[..., Any], autojump_clock: trio.testing.MockClock
) -> None:
    world = make_world(virtual=True)
    async with world.running(), open_database(MemoryStore()) as db, trio.open_nursery() as nursery:
        reached = {height: trio.Event() for height in range(60)}
        journal = Journal(db)

        def handler(batch: Batch, block: Block) -> None:
            journal(batch, block)
            reached[block.header.height].set()

        await nursery.start(world.chain.run)
        await nursery.start(Follower(world.client, db, handler).run)
        await reached[3].wait()
        world.down = True
        asked = len(world.requests)
        await trio.sleep(150)
        assert len(world.requests) - asked < 15  # it waits ever longer, up to half a minute
        world.down = False
        await reached[30].wait()
        assert journal.times == dict.fromkeys(range(max(journal.order) + 1), 1)
        nursery.cancel_scope.cancel()


class Tampered:
    """The L1 with one block changed."""

    def __init__(self, client: Any, height: int, change: Callable[[Block], Block]) -> None:
        self._client = client
        self._height = height
        self.change: Callable[[Block], Block] | None = change

    async def status(self) -> Status:
        return await self._client.status()

    async def block(self, height: int) -> Block | None:
        block = await self._client.block(height)
        if block is None or height != self._height or self.change is None:
            return block
        return self.change(block)


def in_header(**fields: object) -> Callable[[Block], Block]:
    return lambda block: msgspec.structs.replace(
        block, header=msgspec.structs.replace(block.header, **fields)
    )


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (in_header(prev_hash="00" * 32), "does not follow"),
        (in_header(tx_root="00" * 32), "tx_root"),
        (in_header(compute_root="00" * 32), "compute_root"),
        (in_header(height=3), "came after"),
        (lambda block: msgspec.structs.replace(block, txs=()), "tx_root"),
        (lambda block: msgspec.structs.replace(block, pq_signature="00" * 64), "proposer"),
        (in_header(timestamp=1), "proposer"),
    ],
)
async def test_a_block_that_is_not_right_is_refused_until_it_is(
    world: Any, spend: Callable[[], Any], change: Callable[[Block], Block], problem: str
) -> None:
    await world.mine()
    await spend()
    await world.mine(2)
    client = Tampered(world.client, 2, change)
    async with open_database(MemoryStore()) as db:
        journal = Journal(db)
        proposers = [world.config.proposer.public_key]
        follower = Follower(client, db, journal, proposer_keys=proposers)  # type: ignore[arg-type]
        for _ in range(2):
            with pytest.raises(L1Malformed, match=problem):
                await follower.catch_up()
            assert follower.height == 1
        client.change = None
        await follower.catch_up()
        assert journal.times == {0: 1, 1: 1, 2: 1, 3: 1}


async def test_another_chain_under_the_same_url(world: Any, make_world: Callable[..., Any]) -> None:
    store, other = MemoryStore(), make_world(chain_id="cpc-other")
    await world.mine(3)
    async with open_database(store) as db:
        await Follower(world.client, db, Journal(db)).catch_up()
    async with other.running(), open_database(store) as db:
        await other.mine(8)
        with pytest.raises(L1Malformed, match="block 4 does not follow"):
            await Follower(other.client, db, Journal(db)).catch_up()


async def test_block_0_has_nothing_before_it(world: Any) -> None:
    client = Tampered(world.client, 0, in_header(prev_hash="11" * 32))
    async with open_database(MemoryStore()) as db:
        with pytest.raises(L1Malformed, match="block 0 does not follow"):
            await Follower(client, db, Journal(db)).catch_up()  # type: ignore[arg-type]


async def test_a_block_that_never_matches_may_be_let_through(
    world: Any, spend: Callable[[], Any]
) -> None:
    """What a NaN in a payload does on the existing chain: it is hashed, and stored as null."""
    await spend()
    await world.mine()

    def stored(block: Block) -> Block:
        tx = msgspec.structs.replace(block.txs[0], payload={"x": None})
        return msgspec.structs.replace(block, txs=(tx,))

    client = Tampered(world.client, 1, stored)
    async with open_database(MemoryStore()) as db:
        journal = Journal(db)
        with pytest.raises(L1Malformed, match="tx_root"):
            await Follower(client, db, journal).catch_up()  # type: ignore[arg-type]
        patient = Follower(client, db, journal, accept_unverified={1})  # type: ignore[arg-type]
        await patient.catch_up()
        assert journal.times == {0: 1, 1: 1}


async def test_a_tip_that_runs_ahead_of_its_block(world: Any) -> None:
    class Ahead(Tampered):
        async def status(self) -> Status:
            status = await self._client.status()
            return msgspec.structs.replace(status, height=status.height + 1)

    async with open_database(MemoryStore()) as db:
        follower = Follower(Ahead(world.client, -1, check_roots), db, Journal(db))  # type: ignore[arg-type]
        await follower.catch_up()
        assert follower.height == 0


async def test_no_confirmations_make_no_sense(world: Any) -> None:
    async with open_database(MemoryStore()) as db:
        with pytest.raises(ValueError, match="confirmations"):
            Follower(world.client, db, Journal(db), confirmations=0)


async def test_the_l1_is_down_at_the_start(world: Any) -> None:
    world.down = True
    async with open_database(MemoryStore()) as db:
        follower = Follower(world.client, db, Journal(db), start_height=None)
        with pytest.raises(L1Unavailable):
            await follower.catch_up()
        assert follower.height is None
