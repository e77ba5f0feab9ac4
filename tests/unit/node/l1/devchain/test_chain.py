"""Slots, rounds and catching up; what a block takes and what it leaves."""

from collections.abc import Callable
from typing import Any

import pytest
import trio

from node.l1.blocks import Block, block_hash, check_proposer, check_roots
from node.l1.devchain.config import DevChainConfig
from node.l1.keys import AccountKey
from node.l1.transactions import Transaction, sign, submit_result, transfer

Key = Callable[[int], AccountKey]


async def blocks_of(world: Any) -> list[Block]:
    found = [await world.client.block(height) for height in range(world.chain.tip.height + 1)]
    return [block for block in found if block is not None]


async def test_blocks_follow_each_other_and_are_signed(world: Any, key: Key) -> None:
    await world.client.send(transfer(key(2).address, 5).signed(key(1), 0))
    await world.mine(3)
    blocks = await blocks_of(world)
    proposer = world.config.proposer
    for height, block in enumerate(blocks):
        check_roots(block)
        check_proposer(block, [proposer.public_key])
        header = block.header
        assert header.prev_hash == (block_hash(blocks[height - 1].header) if height else "0" * 64)
        assert (header.height, header.round) == (height, 0)
        assert header.timestamp == world.config.genesis.genesis_time + 5 * height
        assert header.chain_id == "cpc-devnet-1"
    assert [block.header.gas_used for block in blocks] == [0, 21_000, 0, 0]
    assert (await world.client.status()).last_hash == block_hash(blocks[-1].header)


async def test_missed_slots_are_made_up_with_falling_rounds(
    make_world: Callable[..., Any], autojump_clock: trio.testing.MockClock
) -> None:
    """As seen on the existing chain after 45 s of silence."""
    world = make_world(virtual=True)
    async with world.running():
        await world.chain.produce()
        await trio.sleep(45)
        async with trio.open_nursery() as nursery:
            await nursery.start(world.chain.run)
            await trio.sleep(22)
            nursery.cancel_scope.cancel()
        blocks = await blocks_of(world)
        rounds = [block.header.round for block in blocks]
        # A block a second; the round stays where a slot has passed meanwhile.
        assert rounds == [0, 8, 7, 6, 5, 5, 4, 3, 2, 1, 1, 0, 0, 0]
        start = world.config.genesis.genesis_time
        for block in blocks:
            slot = block.header.height + block.header.round
            assert block.header.timestamp == start + 5 * slot


async def test_rounds_stop_at_ten(make_world: Callable[..., Any]) -> None:
    world = make_world()
    async with world.running():
        world.seconds = 10_000.0
        await world.chain.produce()
        await world.chain.produce()
        blocks = await blocks_of(world)
        assert [block.header.round for block in blocks] == [10, 10]
        assert blocks[1].header.timestamp == world.config.genesis.genesis_time + 55


async def test_no_block_before_its_slot(world: Any) -> None:
    await world.chain.produce()
    assert world.chain.tip.height == 0
    world.seconds += 4.999
    await world.chain.produce()
    assert world.chain.tip.height == 0


async def test_block_times_below_a_second(make_world: Callable[..., Any]) -> None:
    world = make_world(block_time_s=0.3)
    async with world.running():
        await world.mine(8)
        times = [block.header.timestamp for block in await blocks_of(world)]
        start = world.config.genesis.genesis_time
        assert [time - start for time in times] == [0, 0, 0, 0, 1, 1, 1, 2]


@pytest.mark.parametrize("block_time_s", [0.05, 0.1, 0.7, 1.0, 5.0])
async def test_the_loop_keeps_to_the_slots(
    make_world: Callable[..., Any],
    autojump_clock: trio.testing.MockClock,
    block_time_s: float,
) -> None:
    world = make_world(virtual=True, block_time_s=block_time_s)
    async with world.running(), trio.open_nursery() as nursery:
        await nursery.start(world.chain.run)
        await trio.sleep(20 * block_time_s + block_time_s / 2)
        assert world.chain.tip.height == 20
        assert {block.header.round for block in await blocks_of(world)} == {0}
        nursery.cancel_scope.cancel()


async def test_what_is_charged_and_credited(world: Any, key: Key) -> None:
    one, two = key(1), key(2)
    generous = Transaction(
        tx_type="TRANSFER",
        from_address=one.address,
        to_address=two.address,
        amount=5,
        fee=10**9,
        nonce=0,
        gas_price=2_500,
        gas_limit=50_000,
    )
    await world.client.send(sign(generous, one))
    await world.client.send(transfer("any text", 7, label=True).signed(one, 1))
    await world.mine()
    fee = 21_000 * 2_500 + 21_000_000
    assert await world.client.balance(one.address) == 10**21 - 5 - 7 - fee
    assert await world.client.balance(two.address) == 10**21 + 5
    assert await world.client.balance("any text") == 7
    assert await world.client.balance("cpc1treasury" + "0" * 42) == fee // 10
    rewards = 2 * 7 * 10**18 + fee * 9 // 10
    assert await world.client.balance(world.config.proposer.address) == rewards


async def test_the_amount_of_a_result_goes_to_nobody(world: Any, key: Key) -> None:
    one = key(1)
    result: dict[str, object] = {
        "task_id": "t",
        "worker_address": one.address,
        "result_hash": "",
        "proof": "",
        "nonce": "5",
        "signature": "",
    }
    draft = submit_result(result).signed(one, 0)
    odd = Transaction(
        tx_type="SUBMIT_RESULT",
        from_address=one.address,
        to_address=key(2).address,
        amount=17,
        fee=draft.fee,
        nonce=0,
        gas_price=draft.gas_price,
        gas_limit=draft.gas_limit,
        payload=result,
    )
    await world.client.send(sign(odd, one))
    await world.mine()
    assert await world.client.balance(one.address) == 10**21 - 17 - 80_000_000
    assert await world.client.balance(key(2).address) == 10**21
    block = await world.client.block(1)
    check_roots(block)


@pytest.mark.parametrize(
    "change",
    [
        {"amount": -1},
        {"to_address": None},
        {"to_address": ""},
        {"tx_type": "STAKE", "gas_limit": 40_000, "fee": 40_000_000},
        {"tx_type": "SUBMIT_RESULT", "gas_limit": 80_000, "fee": 80_000_000, "amount": 0},
    ],
)
async def test_what_the_proposer_drops_costs_nothing(
    world: Any, key: Key, change: dict[str, Any]
) -> None:
    one = key(1)
    fields: dict[str, Any] = {
        "tx_type": "TRANSFER",
        "from_address": one.address,
        "to_address": key(2).address,
        "amount": 5,
        "fee": 21_000_000,
        "nonce": 0,
        "gas_price": 1_000,
        "gas_limit": 21_000,
    }
    tx_hash, problem = world.chain.submit(sign(Transaction(**{**fields, **change}), one))
    assert problem == ""
    await world.mine(2)
    assert world.transactions() == []
    assert await world.client.balance(one.address) == 10**21
    assert await world.client.nonce(one.address, pending=True) == 0
    assert world.chain.mempool.size == 0
    receipt = world.chain.receipt(tx_hash)
    assert (receipt["status"], receipt["block_height"]) == ("pending", None)


async def test_one_that_overspends_is_dropped_and_the_next_waits(world: Any, key: Key) -> None:
    one = key(1)
    for nonce, amount in enumerate((6 * 10**20, 6 * 10**20, 1)):
        await world.client.send(transfer(key(2).address, amount).signed(one, nonce))
    await world.mine()
    assert [tx["amount"] for tx in world.transactions()] == [6 * 10**20]
    assert world.chain.mempool.size == 1
    await world.client.send(transfer(key(2).address, 2).signed(one, 1))
    await world.mine()
    assert [tx["amount"] for tx in world.transactions()] == [6 * 10**20, 2, 1]


async def test_a_block_takes_five_hundred(world: Any, key: Key) -> None:
    for nonce in range(502):
        world.chain.submit(transfer(key(2).address, 1).signed(key(1), nonce))
    await world.mine(2)
    assert [len(block["txs"]) for block in world.blocks()] == [0, 500, 2]


async def test_a_block_takes_no_more_than_its_gas(make_world: Callable[..., Any], key: Key) -> None:
    world = make_world(network="testnet")
    async with world.running():
        for nonce in range(720):
            draft = transfer(key(2).address, 1, gas_price=5_000)
            assert world.chain.submit(draft.signed(key(1), nonce))[1] == ""
        await world.mine(2)
        headers = [block["header"] for block in world.blocks()]
        assert headers[0]["gas_used"] == 714 * 21_000
        assert headers[0]["gas_limit"] == 15_000_000
        assert headers[1]["gas_used"] == 6 * 21_000


async def test_epochs(make_world: Callable[..., Any]) -> None:
    world = make_world(block_time_s=0.1)
    async with world.running():
        assert (world.chain.tip.height, world.chain.epoch) == (-1, 0)
        await world.mine(100)
        assert world.chain.epoch == 0
        await world.mine()
        assert world.chain.epoch == 1


def test_the_configuration_names_the_proposer_alone(make_world: Callable[..., Any]) -> None:
    config: DevChainConfig = make_world().config
    assert [one.address for one in config.validators] == [config.proposer.validator_address]
