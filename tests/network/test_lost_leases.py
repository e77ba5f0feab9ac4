"""An orchestrator that was away while its lease went to another."""

import trio

from node.wire.leases import CancelLease


async def test_it_is_told_when_it_comes_back(world, check_money, autojump_clock) -> None:
    """It takes its stored leases up again; without a word from the market it would have the job
    computed and checked once more, and be refused."""
    for worker in world.team("worker"):
        worker.compute.gate = trio.Event()
    task = await world.buy()
    first = await world.orchestrator(task.task_id)
    await world.holds(lambda: sum(one.compute.running for one in world.team("worker")))
    await world.crash(first)
    await world.holds(lambda: world.record(task.task_id).epoch == 2)
    await world.start(first)
    await world.holds(lambda: first.heard[CancelLease])
    assert first.assembly.info.status().counts["leases_held"] == 0
    for worker in world.team("worker"):
        worker.compute.gate.set()
    done = await world.until(task.task_id, "settled", "refunded")
    assert (done.phase, done.epoch) == ("settled", 2)
    await check_money(world)
