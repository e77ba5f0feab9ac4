"""A validator's results on their way to a real chain in memory, and what its market is told."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from node.amounts import UNITS_PER_CPC
from node.bench.settlement_results import Results, author_of, keys_of
from node.config import load_network
from node.l1.blocks import Block
from node.l1.devchain.config import DevChainConfig, Genesis
from node.l1.devchain.direct import DirectClient
from node.l1.devchain.faults import Faults
from node.l1.devchain.node import open_chain
from node.l1.keys import AccountKey
from node.l1.outbound import OutboundBook
from node.l1.sender import Sender
from node.l1.transactions import sign
from node.roles.submitter import ResultTotals, Submitter
from node.verification.anchors import AnchorBook, AnchorRecord, anchor_in
from node.wire.leases import BatchAnchored
from node.wire.presence import Ack
from p2p.errors import RequestRefused
from p2p.memory import MemoryHub, virtual_clock_ms
from storage.database import Database, open_database
from storage.memory import MemoryStore
from storage.store import Batch

CHAIN = "cpc-devnet-1"
MARKET, VALIDATOR, WORKER = keys_of(2), keys_of(10), keys_of(20)
PROPOSER = AccountKey(b"\x55" * 32)
NO_FAULTS = Faults()
BLOCK_S = 5.0
LONGEST_S = 12.0


class World:
    """A chain, a market that listens, and a validator's disk."""

    def __init__(self, faults: Faults = NO_FAULTS, **changes: Any) -> None:
        config = load_network()
        self.faults = faults
        self.confirmations = 1 + faults.rolls_back
        protocol = {"result_batch_s": 1.0, "result_batch_longest_s": LONGEST_S, **changes}
        economics = {"gas_price": protocol.pop("gas_price", 1_000)}
        self.config = msgspec.structs.replace(
            config,
            protocol=msgspec.structs.replace(config.protocol, **protocol),
            economics=msgspec.structs.replace(config.economics, **economics),
        )
        self.results = Results(CHAIN, MARKET, [VALIDATOR], [WORKER], UNITS_PER_CPC)
        self.disk = MemoryStore()
        self.hub = MemoryHub()
        self.told: list[BatchAnchored] = []
        self.wrapped: Callable[[Any], Any] = lambda outside: outside
        """What a test puts around the validator's client and network."""
        self.deaf = False
        self.made = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        alloc = {VALIDATOR.account.address: UNITS_PER_CPC}
        config = DevChainConfig(
            proposer=PROPOSER,
            genesis=Genesis(alloc=alloc, genesis_time=virtual_clock_ms() // 1000),
            data_dir=Path("unused"),
            block_time_s=BLOCK_S,
            faults=self.faults,
        )
        async with (
            open_database(MemoryStore()) as db,
            self.hub.open_network(MARKET.identity, CHAIN) as network,
            trio.open_nursery() as nursery,
        ):
            self.chain = await open_chain(config, db, lambda: virtual_clock_ms() / 1000)
            await nursery.start(self.chain.run)
            network.serve(BatchAnchored, self._on_anchored)
            yield
            nursery.cancel_scope.cancel()

    async def _on_anchored(self, _sender: str, message: BatchAnchored) -> Ack:
        if self.deaf:
            raise RequestRefused("busy", "not now")
        self.told.append(message)
        return Ack()

    @asynccontextmanager
    async def validator(self) -> AsyncIterator["Validator"]:
        """One life of it."""
        market = f"/memory/{MARKET.identity.peer_id}"
        async with (
            open_database(self.disk) as db,
            self.hub.open_network(VALIDATOR.identity, CHAIN, bootstrap=[market]) as network,
            trio.open_nursery() as nursery,
        ):
            client = self.wrapped(DirectClient(self.chain))
            sender = Sender(VALIDATOR.account, db, client, confirmations=self.confirmations)
            submitter = Submitter(
                network=self.wrapped(network),
                db=db,
                author=author_of(VALIDATOR, CHAIN),
                config=self.config,
                sender=sender,
                now_ms=virtual_clock_ms,
            )
            sender.on_confirmed, sender.on_lost = submitter.on_confirmed, submitter.on_lost
            for run in (sender.run, submitter.run):
                await nursery.start(run)
            yield Validator(self, db, submitter)
            nursery.cancel_scope.cancel()

    def batches(self) -> list[int]:
        """Results in each SUBMIT_RESULT of the chain."""
        return [tx.payload["nonce"] for block in self.blocks() for tx in block.txs]

    def blocks(self) -> list[Block]:
        heights = range(self.chain.tip.height + 1)
        return [msgspec.json.decode(self.chain.block(height), type=Block) for height in heights]


class Validator:
    """What a test does with a validator."""

    def __init__(self, world: World, db: Database, submitter: Submitter) -> None:
        self._world = world
        self.db = db
        self.submitter = submitter
        self.book = OutboundBook(db, VALIDATOR.account.address)

    def verify(self, count: int = 1) -> None:
        """New results, each in a batch of its own."""
        for _ in range(count):
            self.db.stage(self.verified(self._world.made))
            self._world.made += 1

    def verified(self, *numbers: int) -> Batch:
        """A batch with the results of these tasks."""
        batch = Batch()
        for number in numbers:
            one = self._world.results.make(number, virtual_clock_ms())
            self.submitter.add(batch, one.report, MARKET.identity.peer_id)
        return batch


@pytest.fixture
def make_world() -> type[World]:
    return World


async def test_results_share_a_transaction_by_age(make_world, autojump_clock) -> None:
    world = make_world()
    async with world.running(), world.validator() as validator:
        validator.verify()
        await trio.sleep(0.9)
        validator.verify(2)
        assert validator.submitter.pending == 3
        await trio.sleep(0.2)
        assert validator.submitter.pending == 0
        await trio.sleep(3 * BLOCK_S)
        assert world.batches() == [3]
        assert [len(message.leaves) for message in world.told] == [3]


async def test_a_full_batch_waits_for_nothing(make_world, autojump_clock) -> None:
    world = make_world(max_result_batch=4)
    async with world.running(), world.validator() as validator:
        validator.verify(9)
        await trio.sleep(0.01)
        assert validator.submitter.pending == 1
        await trio.sleep(LONGEST_S + 3 * BLOCK_S)
        assert world.batches() == [4, 4, 1]


async def test_while_one_is_in_no_block_the_others_gather(make_world, autojump_clock) -> None:
    """One at a time, and in the next block all that came meanwhile."""
    world = make_world()
    async with world.running(), world.validator() as validator:
        for _ in range(40):
            validator.verify()
            await trio.sleep(0.5)
        await trio.sleep(4 * BLOCK_S)
        assert sum(world.batches()) == 40
        assert max(len(block.txs) for block in world.blocks()) == 1
        assert len(world.batches()) <= 5


async def test_on_a_chain_that_stands_still_they_wait_so_long_and_no_longer(
    make_world, autojump_clock
) -> None:
    world = make_world()
    async with world.running(), world.validator() as validator:
        await trio.sleep(BLOCK_S)
        world.chain.mempool.candidates = lambda _most: []  # empty blocks
        validator.verify()
        await trio.sleep(1.1)
        validator.verify()
        await trio.sleep(LONGEST_S - 0.2)
        assert validator.submitter.pending == 1
        await trio.sleep(0.3)
        assert validator.submitter.pending == 0


async def test_what_does_not_bring_its_fee_waits_for_more(make_world, autojump_clock) -> None:
    """At this gas price three results bring ten fees: 80,000 * price * 10 = 3 * 0.025 CPC."""
    world = make_world(gas_price=3 * UNITS_PER_CPC // 40 // 800_000)
    async with world.running(), world.validator() as validator:
        validator.verify(2)
        await trio.sleep(LONGEST_S - 0.1)
        assert validator.submitter.pending == 2
        validator.verify()
        await trio.sleep(0.01)
        assert validator.submitter.pending == 0
        await trio.sleep(4 * BLOCK_S)
        validator.verify()
        await trio.sleep(LONGEST_S + 0.1)
        assert validator.submitter.pending == 0


async def test_the_gas_that_is_saved_is_counted_once(make_world, autojump_clock) -> None:
    world = make_world(max_result_batch=4)
    async with world.running():
        async with world.validator() as validator:
            validator.verify(10)
            await trio.sleep(LONGEST_S + 3 * BLOCK_S)
            assert validator.submitter.totals == ResultTotals(10, 3)
            assert validator.submitter.totals.gas_saved == 7 * 80_000
        async with world.validator() as validator:
            validator.verify(1)
            await trio.sleep(3 * BLOCK_S)
            assert validator.submitter.totals == ResultTotals(11, 4)


async def test_a_restart_goes_on_where_it_was(make_world, autojump_clock) -> None:
    world = make_world()
    async with world.running():
        world.deaf = True
        async with world.validator() as validator:
            validator.verify(3)
            await trio.sleep(1.1)
            validator.verify(2)
        async with world.validator() as validator:  # one batch is under way, two results wait
            await trio.sleep(1.5)  # as old as a batch has to be
            assert validator.submitter.pending == 2
            await trio.sleep(LONGEST_S)
            assert world.batches() == [3, 2]
        world.deaf = False
        async with world.validator() as validator:
            await trio.sleep(2 * BLOCK_S)
            assert sorted(len(message.leaves) for message in world.told) == [2, 3]


async def test_what_is_on_its_way_is_known_until_its_market_was_told(
    make_world, autojump_clock
) -> None:
    """While it waits for a batch, for a block, and for the market; also after a restart."""
    world = make_world()
    task_id = world.results.make(0, virtual_clock_ms()).report.task_id
    async with world.running():
        world.deaf = True
        async with world.validator() as validator:
            assert not validator.submitter.has(task_id)
            validator.verify(3)
            assert (validator.submitter.pending, validator.submitter.has(task_id)) == (3, True)
            await trio.sleep(1.1)
            assert (validator.submitter.pending, validator.submitter.has(task_id)) == (0, True)
            assert world.batches() == []
        async with world.validator() as validator:
            assert validator.submitter.has(task_id)
            await trio.sleep(3 * BLOCK_S)
            assert world.batches() == [3]
            assert validator.submitter.has(task_id)
            assert not validator.submitter.has(task_id[:-1])
        world.deaf = False
        async with world.validator() as validator:
            assert validator.submitter.has(task_id)
            await trio.sleep(2 * BLOCK_S)
            assert not validator.submitter.has(task_id)


async def test_a_batch_whose_nonce_was_taken_is_sent_again(make_world, autojump_clock) -> None:
    world = make_world()
    async with world.running(), world.validator() as validator:
        submit = world.chain.submit
        world.chain.submit = lambda _tx: ("", "")  # the chain says yes and loses it
        validator.verify(2)
        await trio.sleep(2.0)
        world.chain.submit = submit
        ours = validator.book.open_at(Batch(), 0).transaction
        thief = msgspec.structs.replace(ours, payload={**ours.payload, "nonce": 0})
        submit(sign(thief, VALIDATOR.account))
        await trio.sleep(6 * BLOCK_S)
        assert world.batches() == [0, 2]
        assert [len(message.leaves) for message in world.told] == [2]
        assert validator.submitter.totals == ResultTotals(2, 1)


async def test_what_the_market_is_told_is_in_the_block_that_it_is_told(
    make_world, autojump_clock
) -> None:
    world = make_world(max_result_batch=8)
    async with world.running(), world.validator() as validator:
        validator.verify(19)
        await trio.sleep(LONGEST_S + 4 * BLOCK_S)
        assert sorted(len(message.leaves) for message in world.told) == [3, 8, 8]
        tasks = {task_id for message in world.told for task_id in message.task_ids}
        assert len(tasks) == 19
        for message in world.told:
            block = world.blocks()[message.height]
            anchor = anchor_in(block, message.batch, (PROPOSER.public_key,))
            async with open_database(MemoryStore()) as db:
                AnchorBook(db, CHAIN).put(Batch(), AnchorRecord(anchor, message.leaves))
