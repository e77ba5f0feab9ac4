"""Tasks that end without a result: the customer has the money back and nobody goes on working."""

import pytest
import trio
import trio.testing

from node.errors import Conflict
from node.market.views import Quote
from node.wire.jobs import LeaseJob
from node.wire.leases import CancelLease
from p2p.memory import virtual_clock_ms


def hold_back(world) -> None:
    """Let no job end."""
    for worker in world.team("worker"):
        worker.compute.gate = trio.Event()


def running(world) -> int:
    return sum(worker.compute.running for worker in world.team("worker"))


async def test_cancelling_stops_the_worker(world, check_money, autojump_clock) -> None:
    hold_back(world)
    task = await world.buy()
    await world.holds(lambda: running(world))
    ended = await world.market.cancel(task.task_id, world.customer.address)
    assert (ended.status, ended.error.code) == ("failed", "cancelled")
    began = trio.current_time()
    await world.holds(lambda: not running(world) and not world.leftovers())
    assert trio.current_time() - began < 1
    await check_money(world)
    with pytest.raises(Conflict):
        await world.market.cancel(task.task_id, world.customer.address)


async def test_cancelling_a_job_that_waits_for_its_slot(world, check_money, autojump_clock) -> None:
    hold_back(world)
    tasks = [await world.buy() for _ in range(6)]
    await world.holds(lambda: sum(one.heard[LeaseJob] for one in world.team("worker")) == 6)
    assert running(world) == 2
    begun = [job.task_id for worker in world.team("worker") for job in worker.compute.jobs]
    for task in sorted(tasks, key=lambda task: task.task_id in begun):
        await world.market.cancel(task.task_id, world.customer.address)
        await trio.testing.wait_all_tasks_blocked()
    await world.holds(lambda: not running(world) and not world.leftovers())
    assert sum(len(worker.compute.jobs) for worker in world.team("worker")) == 2
    for worker in world.team("worker"):
        worker.compute.gate.set()
    after = await world.buy()
    assert (await world.until(after.task_id, "settled", "refunded")).phase == "settled"
    await check_money(world)


async def test_cancelling_before_anybody_has_it(world, check_money, autojump_clock) -> None:
    for member in world.team("validator"):
        await world.crash(member)
    task = await world.buy()
    await world.market.cancel(task.task_id, world.customer.address)
    for member in world.team("validator"):
        await world.start(member)
    await world.meet()
    assert world.record(task.task_id).epoch == 0
    await check_money(world)


async def test_a_completed_task_cannot_be_cancelled(world, check_money, autojump_clock) -> None:
    task = await world.buy()
    await world.until(task.task_id, "verified")
    with pytest.raises(Conflict):
        await world.market.cancel(task.task_id, world.customer.address)
    await world.until(task.task_id, "settled")
    await check_money(world)


@pytest.mark.parametrize("role", ["validator", "worker"])
async def test_the_deadline_passes_while_nobody_is_there(
    world, check_money, autojump_clock, role: str
) -> None:
    for member in world.team(role):
        await world.crash(member)
    task = await world.buy(deadline_s=virtual_clock_ms() // 1000 + 40)
    ended = await world.until(task.task_id, "refunded", "verified")
    assert ended.error.code == "deadline_exceeded"
    assert -500 < virtual_clock_ms() - ended.deadline_ms < 1000
    await check_money(world)


async def test_the_deadline_passes_while_it_runs(world, check_money, autojump_clock) -> None:
    hold_back(world)
    deadline_s = virtual_clock_ms() // 1000 + 20
    task = await world.buy(size=2048, iterations=16, deadline_s=deadline_s)
    ended = await world.until(task.task_id, "refunded", "verified")
    assert ended.error.code == "deadline_exceeded"
    await world.holds(lambda: not running(world) and not world.leftovers())
    await check_money(world)


async def test_workers_that_never_finish(world, check_money, autojump_clock) -> None:
    """Each attempt ends in time for another; after the last epoch the money comes back."""
    hold_back(world)
    task = await world.buy()
    ended = await world.until(task.task_id, "refunded", "verified")
    assert (ended.error.code, ended.epoch) == ("no_valid_result", 5)
    assert sum(len(worker.compute.jobs) for worker in world.team("worker")) > 5
    await world.holds(lambda: not running(world) and not world.leftovers())
    await check_money(world)


async def test_a_lease_that_ran_out_stops_its_orchestrator(
    world, check_money, autojump_clock
) -> None:
    """The orchestrator of an epoch that is over, and its worker, are told."""
    hold_back(world)
    task = await world.buy()
    first = await world.orchestrator(task.task_id)
    await world.holds(lambda: running(world))
    record = world.record(task.task_id)
    await world.holds(lambda: world.record(task.task_id).epoch > record.epoch)
    await world.holds(lambda: first.heard[CancelLease])
    for worker in world.team("worker"):
        worker.compute.gate.set()
    done = await world.until(task.task_id, "settled", "refunded")
    assert (done.phase, done.epoch > 1) == ("settled", True)
    await check_money(world)


async def test_no_more_is_leased_than_the_workers_can_do(
    world, check_money, autojump_clock
) -> None:
    """Large tasks wait at the market, where no lease runs out: two for each slot are leased."""
    hold_back(world)
    payload = {"seed": "s", "matrix_size": 2048, "iterations": 16}
    quote: Quote = world.market.quote("synthetic", payload)
    assert quote.work_units > 10**11
    tasks = [await world.buy(size=2048, iterations=16) for _ in range(9)]
    await trio.sleep(5)
    assert world.status().counts["tasks_leased"] == 4
    assert world.status().counts["tasks_queued"] == 5
    for task in tasks:
        await world.market.cancel(task.task_id, world.customer.address)
    await world.holds(lambda: not running(world) and not world.leftovers())
    await check_money(world)
