"""What is overdue in whole networks, and how it ends: seen in the status of those concerned."""

from pathlib import Path
from typing import Any

import pytest
import trio

from node.amounts import UNITS_PER_CPC
from node.l1.devchain.direct import DirectClient
from node.l1.errors import L1Unavailable
from node.l1.transactions import transfer
from node.market.views import Overdue
from node.roles import rescue
from node.wire.leases import ReportResult

CPC = UNITS_PER_CPC
WITHIN_S = 100.0


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the ten minutes that a market waits nothing depends here."""
    monkeypatch.setattr(rescue, "ANCHORED_WITHIN_S", WITHIN_S)
    monkeypatch.setattr(rescue, "LOOK_EVERY_S", 0.2)


class Chain(DirectClient):
    """An L1 that may be away."""

    away = False

    async def status(self) -> Any:
        if self.away:
            await trio.lowlevel.checkpoint()
            raise L1Unavailable("away")
        return await super().status()


def overdue(member: Any, what: str) -> list[Overdue]:
    return [one for one in member.assembly.info.status().overdue if one.what == what]


async def with_chain(world: Any) -> Chain:
    """Everybody again, over a chain that may be away."""
    world.l1 = Chain(world.chain)
    await world.restart(*world.members.values())
    await world.meet()
    return world.l1


async def test_a_result_that_its_validator_leaves_is_anchored_by_the_market(
    world: Any, autojump_clock: Any
) -> None:
    task = await world.buy()
    await world.until(task.task_id, "verified")
    for member in world.team("validator"):
        await world.crash(member)
    market, began = world.members["market"], trio.current_time()
    await trio.sleep(70)
    (one,) = overdue(market, "verified task")
    assert one.about == task.task_id
    assert world.record(task.task_id).orchestrator in one.reason
    await world.until(task.task_id, "settled")
    assert WITHIN_S - 10 < trio.current_time() - began < WITHIN_S + 20
    assert world.market.receipt(task.task_id)
    await world.holds(lambda: not overdue(market, "verified task"))
    await trio.sleep(10)
    assert world.ledger.audit().ok
    assert [one.what for one in market.assembly.info.status().overdue] == []
    sent = [tx.tx_type for tx in await sent_by(world, market.address)]
    assert sent.count("SUBMIT_RESULT") == 1


async def test_the_market_takes_nothing_over_while_the_chain_is_away(
    world: Any, autojump_clock: Any
) -> None:
    """That is nobody's delay: validators are given the time again."""
    chain = await with_chain(world)
    task = await world.buy()
    await world.until(task.task_id, "verified")
    chain.away = True
    await trio.sleep(2 * WITHIN_S)
    market = world.members["market"]
    assert "has not answered for" in overdue(market, "verified task")[0].reason
    assert "has not answered for" in overdue(market, "payment")[0].reason
    late = [one for member in world.team("validator") for one in overdue(member, "results")]
    assert {one.reason.partition(" for ")[0] for one in late} == {"the L1 has not answered"}
    chain.away = False
    await world.until(task.task_id, "settled")
    await trio.sleep(30)
    for member in world.members.values():
        assert member.assembly.info.status().overdue == ()
    nonce = await chain.nonce(market.address, pending=False)
    sent = {tx.tx_type for tx in await sent_by(world, market.address)}
    assert nonce > 0
    assert sent == {"TRANSFER"}, "the validator anchored it, not the market"


async def sent_by(world: Any, address: str) -> list[Any]:
    tip = (await world.l1.status()).height
    blocks = [await world.l1.block(height) for height in range(tip + 1)]
    return [tx for block in blocks for tx in block.txs if tx.from_address == address]


async def test_a_task_without_validators_says_so(world: Any, autojump_clock: Any) -> None:
    for member in world.team("validator"):
        await world.crash(member)
    await world.holds(lambda: world.status().peers == 2)
    task = await world.buy()
    await trio.sleep(62)
    (one,) = overdue(world.members["market"], "queued task")
    assert one.about == task.task_id
    assert "wait" in one.reason
    assert "validators" in one.reason
    for member in world.team("validator"):
        await world.start(member)
    await world.until(task.task_id, "settled")
    assert overdue(world.members["market"], "queued task") == []


async def test_a_result_whose_market_is_away(world: Any, silence: Any, autojump_clock: Any) -> None:
    market = world.members["market"]
    market.answers[ReportResult] = silence
    task = await world.buy()
    orchestrator = await world.orchestrator(task.task_id)
    await world.holds(lambda: market.heard[ReportResult])
    await world.crash(market)
    await trio.sleep(world.network.protocol.lease_s + 10)
    (one,) = overdue(orchestrator, "lease")
    assert one.about == task.task_id
    assert market.peer_id in one.reason
    market.answers.clear()
    await world.start(market)
    await world.meet()
    await world.until(task.task_id, "settled")
    await world.holds(lambda: not overdue(orchestrator, "lease"))


async def test_a_deposit_under_too_few_blocks(
    open_world: Any, tmp_path: Path, autojump_clock: Any
) -> None:
    async with open_world(tmp_path, l1_confirmations=150) as world:
        market = world.members["market"]
        assert overdue(market, "deposit") == []
        nonce = await world.l1.nonce(world.customer.address, pending=True)
        await world.l1.send(transfer(market.address, 7 * CPC).signed(world.customer, nonce))
        await trio.sleep(110)
        assert overdue(market, "deposit") == []
        await trio.sleep(20)
        (one,) = overdue(market, "deposit")
        assert one.about == f"7.0 CPC of {world.customer.address}"
        assert "150 blocks are needed" in one.reason
        await trio.sleep(40)
        assert overdue(market, "deposit") == []
        assert world.market.account(world.customer.address).available == 1007 * CPC


async def test_a_new_worker_needs_no_money(world: Any, autojump_clock: Any) -> None:
    """Its account on the chain is empty, it sends nothing, and it is paid."""
    workers = [member.address for member in world.team("worker")]
    for address in workers:
        account = world.chain.account(address)
        assert (account.balance, account.nonce) == (0, 0)
        assert world.market.account(address).available == 0
    task = await world.buy()
    done = await world.until(task.task_id, "settled")
    worker = done.result.worker_address
    assert worker in workers
    await world.holds(lambda: world.chain.account(worker).balance)
    assert world.chain.account(worker).balance == 10 * CPC // 4
    assert world.chain.account(worker).nonce == 0
