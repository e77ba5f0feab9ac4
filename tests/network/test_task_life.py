"""A task's life over whole networks where everybody does what they should."""

from node.verification.receipt import result_hash_of
from node.verification.receipt_check import Standing, verify_receipt

TASKS = 60


async def test_a_task_is_bought_computed_checked_and_anchored(
    world, check_money, autojump_clock
) -> None:
    task = await world.buy()
    assert task.status == "pending"
    done = await world.until(task.task_id, "settled", "refunded")
    assert done.status == "completed", done
    assert done.result is not None
    assert len(done.result.validators) == 3
    assert done.result.worker_address in {member.address for member in world.team("worker")}
    receipt, standing = verify_receipt(world.market.receipt(task.task_id), world.network)
    assert standing is Standing.ANCHORED
    assert result_hash_of(receipt.results).hex() == done.result.result_hash
    output = done.result.outputs[0]
    assert world.market.artifact(output.sha256).stat().st_size == output.size
    await check_money(world)


async def test_sixty_tasks_are_shared_out_and_all_money_adds_up(
    large_world, check_money, autojump_clock
) -> None:
    world = large_world
    bought = [await world.buy() for _ in range(TASKS)]
    ended = [await world.until(task.task_id, "settled", "refunded") for task in bought]
    assert {task.phase for task in ended} == {"settled"}
    for role in ("validator", "worker"):
        for member in world.team(role):
            member_shares = [
                one
                for one in world.judgements()
                if member.address in (one.result.worker_address, one.draw.seats[0].address)
            ]
            assert len(member_shares) >= TASKS // 10, member.name
    for task in bought:
        _, standing = verify_receipt(world.market.receipt(task.task_id), world.network)
        assert standing is Standing.ANCHORED
    await check_money(world)


async def test_nothing_is_left_behind(world, autojump_clock) -> None:
    """Every record and file of an attempt goes when its task is done."""
    for _ in range(3):
        task = await world.buy()
        await world.until(task.task_id, "settled")
    await world.holds(lambda: not world.leftovers())
    assert world.artifacts(world.members["market"]) == 3


async def test_what_does_not_fit_a_message_goes_in_bulk(world, check_money, autojump_clock) -> None:
    """More than 256 KiB of steps and of output: fetched by each validator, then by the market."""
    task = await world.buy(size=640, iterations=2)
    done = await world.until(task.task_id, "settled", "refunded")
    assert done.phase == "settled", done
    output = done.result.outputs[0]
    assert world.market.artifact(output.sha256).stat().st_size == 640**2
    await world.holds(lambda: not world.leftovers())
    await check_money(world)


async def test_a_task_waits_for_the_first_validators_and_workers(
    world, check_money, autojump_clock
) -> None:
    for member in (*world.team("validator"), *world.team("worker")):
        await world.crash(member)
    task = await world.buy()
    sentence = "1 synthetic task waits for validators: none that takes synthetic is connected"
    assert sentence in world.status().waiting
    for member in (*world.team("validator"), *world.team("worker")):
        await world.start(member)
    done = await world.until(task.task_id, "settled", "refunded")
    assert (done.phase, done.epoch) == ("settled", 1)
    await check_money(world)


async def test_a_worker_tells_how_far_its_job_is(world, autojump_clock) -> None:
    seen = []

    def watch(worker):
        def look(run):
            seen.append((run.job.nonce, worker.assembly.info.status().waiting))
            return run.report

        return look

    workers = world.team("worker")
    for worker in workers:
        worker.compute.spoil = watch(worker)
    task = await world.buy(iterations=3)
    await world.until(task.task_id, "settled")
    [(nonce, waiting)] = seen
    assert waiting == (f"job {task.task_id}/{nonce} is 100% done",)
    assert all(worker.assembly.info.status().waiting == () for worker in workers)


async def test_without_pinned_proposers_there_are_receipts_too(
    open_world, tmp_path, autojump_clock
) -> None:
    """The chain names its proposers itself; what that is worth, the receipt's verifier says."""
    async with open_world(tmp_path, pinned=False) as world:
        task = await world.buy()
        await world.until(task.task_id, "settled")
        _, standing = verify_receipt(world.market.receipt(task.task_id), world.network)
        assert standing is Standing.UNANCHORED


async def test_more_results_than_one_transaction_takes(
    open_world, tmp_path, check_money, autojump_clock
) -> None:
    async with open_world(tmp_path, max_result_batch=3) as world:
        tasks = [await world.buy() for _ in range(20)]
        for task in tasks:
            await world.until(task.task_id, "settled")
            _, standing = verify_receipt(world.market.receipt(task.task_id), world.network)
            assert standing is Standing.ANCHORED
        assert len({outcome.jobs[0].batch for outcome in world.outcomes()}) >= 7
        await check_money(world)


async def test_a_quorum_of_one(open_world, tmp_path, check_money, autojump_clock) -> None:
    """A network of one validator: it orchestrates and checks."""
    async with open_world(tmp_path, validators=1, quorum_size=1, quorum_needed=1) as world:
        task = await world.buy()
        done = await world.until(task.task_id, "settled")
        assert done.result.validators == (world.members["validator-1"].address,)
        await check_money(world)


async def test_a_quorum_of_five(open_world, tmp_path, check_money, autojump_clock) -> None:
    async with open_world(tmp_path, validators=6, quorum_size=5, quorum_needed=3) as world:
        task = await world.buy()
        done = await world.until(task.task_id, "settled")
        assert len(done.result.validators) == 5
        await check_money(world)
