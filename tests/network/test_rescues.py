"""A market that anchors what its validators left: once, wherever it dies, whatever takes long."""

from collections.abc import Callable
from typing import Any

import pytest
import trio

from node.roles import rescue, submitter
from node.verification.receipt_check import Standing, verify_receipt
from node.wire.leases import BatchAnchored, ReportResult

WITHIN_S = 20.0
LONG_S = 3 * WITHIN_S
"""Within which a market would have taken the task over once more, twice if it restarts."""
LONGEST_S = 3600


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    assert submitter.LATE_S <= rescue.ANCHORED_WITHIN_S / 2
    monkeypatch.setattr(rescue, "ANCHORED_WITHIN_S", WITHIN_S)
    monkeypatch.setattr(rescue, "LOOK_EVERY_S", 0.2)
    monkeypatch.setattr(submitter, "LATE_S", WITHIN_S / 2)


async def left_behind(world: Any, *, answered: bool = True) -> str:
    """A completed task whose validators are all gone before they have anchored it, and perhaps
    before they have heard that the market has it."""
    market, team = world.members["market"], world.team("validator")

    async def take_and_fall_silent(sender: str, message: Any, handler: Any) -> None:
        await handler(sender, message)
        await trio.sleep_forever()

    if not answered:
        market.answers[ReportResult] = take_and_fall_silent
    task = await world.buy()
    await world.until(task.task_id, "verified")
    if answered:
        await world.holds(lambda: any(map(results_pending, team)))
    await trio.sleep(0.1)  # what is shown at once is durable a moment later
    for member in team:
        await world.crash(member)
    market.answers.clear()
    return task.task_id


def results_pending(member: Any) -> int:
    return member.assembly.info.status().counts["results_pending"]


async def results_sent(world: Any) -> list[str]:
    """Senders of all SUBMIT_RESULT transactions that are in blocks."""
    blocks = [await world.l1.block(height) for height in range(world.chain.tip.height + 1)]
    return [tx.from_address for one in blocks for tx in one.txs if tx.tx_type == "SUBMIT_RESULT"]


def nothing_is_included(world: Any) -> Callable[[], None]:
    """Blocks are empty until the answer is called; a market that restarts finds the same chain."""
    candidates = world.chain.mempool.candidates
    world.chain.mempool.candidates = lambda _most: []

    def heal() -> None:
        world.chain.mempool.candidates = candidates

    return heal


def nobody_is_told(world: Any) -> Callable[[], None]:
    """The market does not hear from itself that its batch is in a block."""
    market = world.members["market"]

    async def lose(_peer: str, _message: BatchAnchored) -> None:
        return None

    market.sends[BatchAnchored] = lose
    return market.sends.clear


def nothing_is_sealed(_world: Any) -> Callable[[], None]:
    """The network's own rule is what makes a result wait for others."""
    return lambda: None


@pytest.mark.parametrize("dies", [False, True])
@pytest.mark.parametrize("obstacle", [nothing_is_sealed, nothing_is_included, nobody_is_told])
async def test_what_it_has_taken_over_it_does_not_take_over_again(
    open_world: Any, tmp_path: Any, autojump_clock: Any, obstacle: Any, dies: bool
) -> None:
    """While the result waits for a batch, for a block, and for being placed."""
    waits = {"result_batch_s": LONG_S, "result_batch_longest_s": LONG_S}
    protocol = waits if obstacle is nothing_is_sealed else {}
    with trio.fail_after(LONGEST_S):
        async with open_world(tmp_path, **protocol) as world:
            market = world.members["market"]
            heal, task_id = obstacle(world), await left_behind(world)
            await trio.sleep(WITHIN_S + 15)
            assert await results_sent(world) == [market.address] * (obstacle is nobody_is_told)
            if dies:
                await world.restart(market)
            await trio.sleep(LONG_S)
            heal()
            await world.until(task_id, "settled")
            await trio.sleep(2 * LONG_S)
            assert await results_sent(world) == [market.address]
            _, standing = verify_receipt(world.market.receipt(task_id), world.network)
            assert standing is Standing.ANCHORED


@pytest.mark.parametrize("answered", [True, False])
async def test_a_validator_that_comes_back_late_asks_first(
    world: Any, autojump_clock: Any, answered: bool
) -> None:
    """The market has put its result on the chain meanwhile: once is enough."""
    task_id = await left_behind(world, answered=answered)
    market = world.members["market"]
    await world.until(task_id, "settled")
    await trio.sleep(LONG_S)
    for member in world.team("validator"):
        await world.start(member)
    await world.meet()
    await trio.sleep(LONG_S)
    assert await results_sent(world) == [market.address]
    await world.holds(lambda: not world.leftovers())


@pytest.mark.parametrize("is_away", [False, True])
async def test_a_validator_that_comes_back_late_and_before_the_market_acts(
    world: Any, monkeypatch: pytest.MonkeyPatch, autojump_clock: Any, is_away: bool
) -> None:
    """The result is still wanted, or the market cannot be asked: it is put on the chain."""
    monkeypatch.setattr(rescue, "ANCHORED_WITHIN_S", 2 * LONG_S)
    market = world.members["market"]
    task_id = await left_behind(world)
    validator = world.named(world.record(task_id).orchestrator)
    await trio.sleep(LONG_S)
    if is_away:
        await world.crash(market)
    await world.start(validator)
    await trio.sleep(submitter.LATE_ASK_S + 10)
    assert await results_sent(world) == [validator.address]
    if is_away:
        await world.start(market)
    await world.until(task_id, "settled")
    await trio.sleep(LONG_S)
    assert await results_sent(world) == [validator.address]
