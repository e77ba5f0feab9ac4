"""Tasks of many jobs: shared out, each with attempts of its own, whole or not at all."""

import msgspec
import pytest
import trio

from node.amounts import Amount
from node.verification.draws import JOB_STRIDE, job_of
from node.wire.jobs import JobAnswer, LeaseJob
from node.wire.leases import ReportResult
from node.wire.presence import Answer

JOBS = 6


async def buy_chains(world, chains: int = JOBS, size: int = 16, **changes):
    payload = {"seed": "s", "matrix_size": size, "iterations": 2, "chains": chains}
    return await world.buy(payload=payload, **changes)


def computed(world) -> list[int]:
    """Job indices of all runs."""
    workers = world.team("worker")
    return sorted(job_of(job.nonce) for one in workers for job in one.compute.jobs)


@pytest.mark.parametrize("size", [16, 640])
async def test_jobs_are_shared_out(large_world, check_money, autojump_clock, size: int) -> None:
    """Each of three workers does two of six, and the task has one result for each."""
    world = large_world
    task = await buy_chains(world, size=size)
    done = await world.until(task.task_id, "settled", "refunded")
    assert (done.phase, done.epoch) == ("settled", 1)
    assert computed(world) == list(range(JOBS))
    assert [len(one.compute.jobs) for one in world.team("worker")] == [2, 2, 2]
    results = [one.result for one in world.outcomes()[0].jobs]
    assert [one.nonce for one in results] == [job * JOB_STRIDE + 6 for job in range(JOBS)]
    assert len({one.result_hash for one in results}) == JOBS
    assert len({one.judgement.draw for one in world.outcomes()[0].jobs}) == 1
    await world.holds(lambda: not world.leftovers())
    await check_money(world)


async def test_the_most_jobs_that_a_network_allows(world, check_money, autojump_clock) -> None:
    task = await buy_chains(world, 64, reward=Amount(10**20))
    done = await world.until(task.task_id, "settled", "refunded")
    assert (done.phase, done.epoch) == ("settled", 1)
    assert computed(world) == list(range(64))
    await check_money(world)


async def test_only_the_jobs_of_a_bad_worker_are_done_again(
    large_world, check_money, autojump_clock
) -> None:
    world = large_world
    bad = world.members["worker-1"]
    bad.compute.spoil = lambda run: msgspec.structs.replace(run.report, digest=bytes(32))
    task = await buy_chains(world)
    done = await world.until(task.task_id, "settled", "refunded")
    assert (done.phase, done.epoch) == ("settled", 1)
    spoilt = [job_of(job.nonce) for job in bad.compute.jobs]
    assert spoilt
    assert computed(world) == sorted([*range(JOBS), *spoilt])
    for job in world.outcomes()[0].jobs:
        again = job_of(job.result.nonce) in spoilt
        assert job.result.nonce % JOB_STRIDE == (7 if again else 6)
        assert job.result.worker_address != bad.address
    await check_money(world)


async def test_finished_jobs_survive_a_crash_of_the_orchestrator(
    world, check_money, autojump_clock
) -> None:
    """Only what was not finished is done again."""
    slow = world.members["worker-2"]
    slow.compute.gate = trio.Event()
    task = await buy_chains(world)
    first = await world.orchestrator(task.task_id)
    fast = world.members["worker-1"]
    await world.holds(lambda: len(fast.compute.jobs) == JOBS // 2)
    await trio.sleep(1)
    finished = {job_of(job.nonce) for job in fast.compute.jobs}
    await world.restart(first)
    slow.compute.gate.set()
    done = await world.until(task.task_id, "settled", "refunded")
    assert (done.phase, done.epoch) == ("settled", 1)
    for job in world.outcomes()[0].jobs:
        kept = job_of(job.result.nonce) in finished
        assert job.result.nonce % JOB_STRIDE == (6 if kept else 7)
    runs = computed(world)
    assert all(runs.count(job) == 1 for job in finished)
    await world.holds(lambda: not world.leftovers())
    await check_money(world)


async def test_a_report_of_many_jobs_survives_too(world, check_money, autojump_clock) -> None:
    """All was done when the orchestrator died: nothing is computed or checked again."""
    reached = trio.Event()

    async def stop(_peer, message):
        if not reached.is_set():
            reached.set()
            await trio.sleep_forever()
        return message

    for member in world.team("validator"):
        member.sends[ReportResult] = stop
    task = await buy_chains(world, size=640)
    await reached.wait()
    await world.restart(world.named(world.record(task.task_id).orchestrator))
    done = await world.until(task.task_id, "settled", "refunded")
    assert (done.phase, done.epoch) == ("settled", 1)
    assert computed(world) == list(range(JOBS))
    await check_money(world)


async def test_one_job_that_nobody_does_fails_the_task(world, check_money, autojump_clock) -> None:
    """The others are not paid either: the customer bought a whole task."""

    async def refuse_one(sender, message, handler):
        if job_of(message.nonce) == 1:
            return JobAnswer(Answer(taken=False, reason="not this one"))
        return await handler(sender, message)

    for worker in world.team("worker"):
        worker.answers[LeaseJob] = refuse_one
    task = await buy_chains(world, 3)
    done = await world.until(task.task_id, "settled", "refunded")
    assert (done.phase, done.error.code) == ("refunded", "no_valid_result")
    assert "not this one" in done.error.message or done.epoch == 5
    assert world.outcomes() == []
    await world.holds(lambda: not world.leftovers())
    await check_money(world)


async def test_followers_see_the_jobs_move(world, autojump_clock) -> None:
    """A job that takes its time is seen computing, and verified before the task is."""
    slow = world.members["worker-2"]
    slow.compute.gate = trio.Event()
    changes = world.market.changes
    with changes.follow(None) as followed:
        task = await buy_chains(world)
        await trio.sleep(2)
        slow.compute.gate.set()
        await world.until(task.task_id, "settled", "refunded")
        seen = [followed.receive_nowait() for _ in range(followed.statistics().current_buffer_used)]
    jobs = [one.job for one in seen if one.job]
    assert {(one.phase, one.worker_address) for one in jobs} >= {
        ("computing", slow.address),
        ("verified", world.members["worker-1"].address),
    }
