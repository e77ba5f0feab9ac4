"""A chain that misbehaves: each fault does what it says, and the chain stays one."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import trio

from node.errors import InvalidInput
from node.l1.blocks import Block, check_roots, same_transaction
from node.l1.client import L1Client
from node.l1.devchain.direct import DirectClient
from node.l1.devchain.faults import Faults
from node.l1.errors import L1Malformed, L1Unavailable
from node.l1.keys import AccountKey
from node.l1.transactions import transfer, tx_digest

Key = Callable[[int], AccountKey]
NAMES = Faults.__struct_fields__


@pytest.mark.parametrize("name", NAMES)
def test_a_fault_is_read_with_and_without_a_number(name: str) -> None:
    text = name.replace("_", "-")
    assert Faults.parse([text]) == Faults(**{name: 1})
    assert Faults.parse([f"{text}=7"]) == Faults(**{name: 7})


@pytest.mark.parametrize("text", ["", "forget", "forgets=", "forgets=-1", "forgets=x", "=3"])
def test_what_is_no_fault_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Faults.parse([text])
    assert "rolls-back" in str(caught.value.remedy)


async def test_what_waits_is_forgotten(make_world: Any, key: Key) -> None:
    world = make_world(faults=Faults(forgets=3))
    async with world.running():
        await world.mine(2)
        tx = transfer(key(2).address, 5).signed(key(1), 1)
        await world.client.send(tx)
        assert await world.client.nonce(key(1).address, pending=True) == 0
        receipt = world.chain.receipt(tx_digest(tx).hex())
        assert receipt is not None
        await world.mine()
        assert world.chain.receipt(tx_digest(tx).hex()) is None
        first = transfer(key(2).address, 4).signed(key(1), 0)
        await world.client.send(first)
        await world.mine()
        assert [tx["amount"] for tx in world.transactions()] == [4], "the later one is gone"


async def test_what_came_for_the_next_block_is_forgotten_too(make_world: Any, key: Key) -> None:
    """Not only what would wait longer: a chain with room in its blocks would forget nothing."""
    world = make_world(faults=Faults(forgets=2))
    async with world.running():
        for nonce, included in ((0, 1), (1, 1), (1, 2)):
            await world.client.send(transfer(key(2).address, 5 + nonce).signed(key(1), nonce))
            await world.mine()
            assert len(world.transactions()) == included


async def test_blocks_are_given_up_and_their_transactions_wait_again(
    make_world: Any, key: Key
) -> None:
    world = make_world(faults=Faults(rolls_back=2))
    async with world.running():
        await world.mine(8)
        for nonce in range(3):
            await world.client.send(transfer(key(2).address, 1 + nonce).signed(key(1), nonce))
            if nonce == 1:
                before = await blocks_of(world)
                await world.mine()
        given_up = await world.client.block(8)
        assert [tx.amount for tx in given_up.txs] == [1, 2]
        await world.mine()  # the tenth block, two of which are given up and made again
        blocks = await blocks_of(world)
        assert (len(blocks), blocks[:8]) == (10, before)
        assert blocks[8].header != given_up.header
        assert [tx.amount for block in blocks for tx in block.txs] == [1, 2, 3]
        balances = [await world.client.balance(key(number).address) for number in (1, 2)]
        assert balances == [10**21 - 6 - 3 * 21_000_000, 10**21 + 6]
    async with world.running():  # as it is on the disk
        assert await blocks_of(world) == blocks
        assert [await world.client.balance(key(number).address) for number in (1, 2)] == balances


async def blocks_of(world: Any) -> list[Block]:
    """All blocks, each following the one before it and fitting its header."""
    found: list[Block] = []
    for height in range(world.chain.tip.height + 1):
        block = await world.client.block(height)
        assert block is not None
        check_roots(block)
        found.append(block)
    return found


async def test_one_transfer_in_two_is_rewritten(make_world: Any, key: Key) -> None:
    world = make_world(faults=Faults(rewrites=2))
    async with world.running():
        await world.mine()
        sent = [transfer(key(2).address, 1234).signed(key(1), nonce) for nonce in range(4)]
        for tx in sent:
            await world.client.send(tx)
        await world.mine()
        included = (await blocks_of(world))[-1].txs
        assert list(map(tx_digest, included)) == list(map(tx_digest, sent))
        same = [same_transaction(*pair) for pair in zip(included, sent, strict=True)]
        assert same == [True, False, True, False]
        assert (included[1].to_address, included[1].amount) == (f"{key(2).address}1", 234)
        assert await world.client.balance(f"{key(2).address}1") == 2 * 234


async def test_what_has_no_twin_is_left_alone(make_world: Any, key: Key) -> None:
    """A number does not begin with a zero, and is not empty."""
    world = make_world(faults=Faults(rewrites=1))
    async with world.running():
        await world.mine()
        for nonce, amount in enumerate((7, 1000, 205)):
            await world.client.send(transfer(key(2).address, amount).signed(key(1), nonce))
        await world.mine()
        assert [tx["amount"] for tx in world.transactions()] == [7, 1000, 205]


@pytest.fixture(params=["http", "direct"])
def client_of(request: pytest.FixtureRequest) -> Callable[[Any], L1Client]:
    """Either way of speaking to a chain: the answers are spoiled alike."""
    if request.param == "http":
        return lambda world: world.client
    return lambda world: DirectClient(world.chain)


async def test_an_answer_is_lost_after_the_deed(
    make_world: Any, key: Key, client_of: Callable[[Any], L1Client]
) -> None:
    world = make_world(faults=Faults(lost_answers=1))
    async with world.running():
        tx = transfer(key(2).address, 5).signed(key(1), 0)
        with pytest.raises(L1Unavailable):
            await client_of(world).send(tx)
        await world.mine()
        assert len(world.transactions()) == 1


async def test_an_answer_is_cut(make_world: Any, client_of: Callable[[Any], L1Client]) -> None:
    world = make_world(faults=Faults(cut_answers=1))
    async with world.running():
        with pytest.raises(L1Malformed):
            await client_of(world).status()


@pytest.mark.parametrize("name", ["lost_answers", "cut_answers"])
async def test_about_one_in_so_many_always_the_same(make_world: Any, name: str) -> None:
    async def failed(client_of: Callable[[Any], L1Client]) -> list[int]:
        world, found = make_world(faults=Faults(**{name: 4})), []
        async with world.running():
            client = client_of(world)
            for number in range(200):
                try:
                    await client.status()
                except (L1Unavailable, L1Malformed):
                    found.append(number)
        return found

    first = await failed(lambda world: world.client)
    assert first == await failed(lambda world: world.client)
    assert first == await failed(lambda world: DirectClient(world.chain))
    assert 30 < len(first) < 70


async def test_an_answer_is_late(
    make_world: Any, autojump_clock: Any, client_of: Callable[[Any], L1Client]
) -> None:
    world = make_world(faults=Faults(late_answers=1), virtual=True)
    async with world.running():
        began_s = trio.current_time()
        await client_of(world).status()
        assert trio.current_time() - began_s == 3.0


def test_no_fault_by_default() -> None:
    assert not any(msgspec.structs.astuple(Faults()))
