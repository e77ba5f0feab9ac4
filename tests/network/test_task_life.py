"""A task's life over whole networks."""

import trio


async def test_a_task_is_bought_computed_checked_and_anchored(world) -> None:
    task = await world.buy()
    assert task.status == "pending"
    done = await world.until(task.task_id, "anchored", "refunded")
    assert done.status == "completed", done
    assert done.result is not None
    assert len(done.result.validators) >= 2
    workers = {m.address for m in world.members.values() if "worker" in m.name}
    assert done.result.worker_address in workers
