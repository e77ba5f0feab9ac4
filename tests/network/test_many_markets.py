"""Two markets and the same workers: neither knows what the other has leased."""

import pytest
import trio

from node.amounts import UNITS_PER_CPC, Amount
from node.l1.transactions import transfer
from node.market.views import NewTask
from node.workloads import slow_core_s

WORK = {"matrix_size": 16, "iterations": 2}
UNITS = 16**3 * 2
TASKS = 30
DEPOSIT = 500


@pytest.fixture
async def world(open_world, tmp_path, monkeypatch, autojump_clock):
    """Where a slow core takes a second for a task, and every worker hardly less."""
    monkeypatch.setattr("node.workloads.SLOW_CORE_S_PER_TERA", 1e12 / UNITS)
    async with open_world(tmp_path) as opened:
        for worker in opened.team("worker"):
            slow_down(worker)
        yield opened


def slow_down(worker) -> None:
    run = worker.compute.run

    async def slowly(*job):
        await trio.sleep(0.95 * slow_core_s(UNITS))
        return await run(*job)

    worker.compute.run = slowly


@pytest.fixture
async def markets(world):
    """The second one has its own customers' money."""
    second = world.add("market-2", "market")
    await world.start(second)
    await world.meet()
    nonce = await world.l1.nonce(world.customer.address, pending=True)
    paid = transfer(second.address, DEPOSIT * UNITS_PER_CPC).signed(world.customer, nonce)
    await world.l1.send(paid)
    shown = second.assembly.market
    await world.holds(lambda: shown.account(world.customer.address).available)
    return [world.market, shown]


async def buy_everywhere(world, markets, count: int) -> list[tuple]:
    bought = []
    for number in range(count):
        for place, market in enumerate(markets):
            payload = {"seed": f"{place}/{number}", **WORK}
            task = NewTask("synthetic", payload, Amount(UNITS_PER_CPC))
            bought.append((market, await market.submit(task, world.customer.address, None)))
    return bought


async def ended(market, task_id: str):
    view = market.task(task_id)
    while view.phase not in ("settled", "refunded"):
        view = await market.wait(task_id, seen=view.phase)
    return view


async def test_both_are_served(world, markets, autojump_clock) -> None:
    bought = await buy_everywhere(world, markets, 5)
    for market, task in bought:
        done = await ended(market, task.task_id)
        assert (done.phase, done.epoch) == ("settled", 1)
    await world.holds(lambda: not world.leftovers())


async def test_nobody_waits_in_vain_for_workers_that_have_too_much_to_do(
    world, markets, caplog, autojump_clock
) -> None:
    """Each market leases as much as the workers can do alone: what they cannot begin in time they
    refuse, so that no lease of a job runs out in a queue, and no epoch counts as failed."""
    bought = await buy_everywhere(world, markets, TASKS)
    views = [await ended(market, task.task_id) for market, task in bought]
    assert {view.phase for view in views} == {"settled"}
    assert "too slow" not in caplog.text
    assert "ran out" not in caplog.text
    runs = [job.task_id for worker in world.team("worker") for job in worker.compute.jobs]
    assert len(runs) == len(bought)
    assert not any(world.record(one.task_id).failed_orchestrators for _, one in bought[::2])


async def test_without_refusals_leases_run_out(
    world, markets, monkeypatch, caplog, autojump_clock
) -> None:
    """The control: workers that take whatever fits their queue."""
    monkeypatch.setattr("node.roles.pace.Pace.is_late", lambda *_: False)
    monkeypatch.setattr("node.roles.worker.QUEUE_PER_SLOT", 1000)
    await world.restart(*world.team("worker"))
    await world.meet()
    bought = await buy_everywhere(world, markets, TASKS)
    for market, task in bought:
        await ended(market, task.task_id)
    assert "too slow" in caplog.text or "ran out" in caplog.text
