"""Several nodes of a chain: fail-over, and blocks on which they do not agree."""

from collections.abc import Awaitable, Callable

import msgspec
import pytest
import trio

from node.l1.blocks import Block, Header
from node.l1.client import SendOutcome, Status
from node.l1.errors import L1Malformed, L1Unavailable
from node.l1.several import COMPARE_S, LEFT_ALONE_S, SeveralClients

HEADER = Header(
    height=7,
    prev_hash="00" * 32,
    timestamp=1,
    chain_id="c",
    proposer_address="p",
    round=0,
    tx_root="11" * 32,
    state_root="22" * 32,
    compute_root="",
    gas_used=0,
    gas_limit=1,
)


def block(**changes: object) -> Block:
    header = msgspec.structs.replace(HEADER, **changes)
    return Block(header=header, txs=(), pq_signature="")


class Node:
    """A node of the chain that answers as it is told, and counts."""

    def __init__(self, blocks: dict[int, Block] | None = None) -> None:
        self.blocks = {7: block()} if blocks is None else blocks
        self.asked: list[str] = []
        self.fails: Exception | None = None
        self.before: Callable[[], Awaitable[object]] = trio.lowlevel.checkpoint

    async def _answer(self, name: str) -> None:
        self.asked.append(name)
        await self.before()
        if self.fails is not None:
            raise self.fails

    async def status(self) -> Status:
        await self._answer("status")
        return Status(height=7, last_hash="ab" * 32, network="n", mempool_size=0, epoch=0)

    async def block(self, height: int) -> Block | None:
        await self._answer("block")
        return self.blocks.get(height)

    async def balance(self, address: str) -> int:
        await self._answer("balance")
        return len(address)

    async def nonce(self, address: str, *, pending: bool) -> int:
        await self._answer("nonce")
        return len(address) + pending

    async def send(self, _tx: object) -> SendOutcome:
        await self._answer("send")
        return SendOutcome("accepted")

    async def validators(self) -> tuple[()]:
        await self._answer("validators")
        return ()


@pytest.fixture
def nodes() -> dict[str, Node]:
    return {"one": Node(), "two": Node(), "three": Node()}


async def every_question(client: SeveralClients) -> list[object]:
    return [
        await client.status(),
        await client.balance("cpc1a"),
        await client.nonce("cpc1a", pending=True),
        await client.send(None),
        await client.validators(),
    ]


async def test_one_node_is_asked_as_long_as_it_answers(nodes) -> None:
    client = SeveralClients(nodes)
    assert await every_question(client) == await every_question(client)
    assert nodes["two"].asked == nodes["three"].asked == []


@pytest.mark.parametrize("error", [L1Unavailable("503"), L1Malformed("nonsense")])
async def test_the_next_one_is_asked_and_stayed_with(nodes, error: Exception) -> None:
    client = SeveralClients(nodes)
    expected = await every_question(client)
    nodes["one"].fails = error
    nodes["one"].asked.clear()
    assert await every_question(client) == expected
    nodes["one"].fails = None
    assert await every_question(client) == expected
    assert (len(nodes["one"].asked), len(nodes["two"].asked)) == (1, 10)


async def test_all_are_down_and_come_back(nodes) -> None:
    client = SeveralClients(nodes)
    for node in nodes.values():
        node.fails = L1Unavailable("down")
    with pytest.raises(L1Unavailable, match="down"):
        await client.status()
    assert [len(node.asked) for node in nodes.values()] == [1, 1, 1]
    nodes["three"].fails = None
    assert (await client.status()).height == 7


async def test_two_that_fail_at_once_do_not_skip_a_node(nodes) -> None:
    client = SeveralClients(nodes)
    nodes["one"].fails = L1Unavailable("down")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.status)
        nursery.start_soon(client.status)
    assert (len(nodes["two"].asked), len(nodes["three"].asked)) == (2, 0)


@pytest.mark.parametrize("other", ["two", "three"])
async def test_a_block_on_which_they_differ_is_not_given(nodes, other: str) -> None:
    client = SeveralClients(nodes)
    nodes[other].blocks[7] = block(tx_root="33" * 32)
    with pytest.raises(L1Malformed, match=f"block 7: one and {other} have different ones"):
        await client.block(7)
    nodes[other].blocks[7] = block()
    assert await client.block(7) == block()


async def test_a_node_behind_or_down_holds_nobody_up(nodes, autojump_clock) -> None:
    client = SeveralClients(nodes)
    nodes["two"].blocks.clear()
    nodes["three"].fails = L1Unavailable("down")
    assert await client.block(7) == block()
    assert await client.block(8) is None
    nodes["two"].before = trio.sleep_forever
    began_s = trio.current_time()
    assert await client.block(7) == await client.block(7) == block()
    assert trio.current_time() - began_s == COMPARE_S, "asked once, and then left alone"
    assert nodes["three"].asked == ["block"]
    await trio.sleep(LEFT_ALONE_S)
    nodes["two"].before = trio.lowlevel.checkpoint
    nodes["two"].blocks[7] = block(round=1)
    with pytest.raises(L1Malformed, match="one and two"):
        await client.block(7)
