"""Who holds what back from whom: neither a worker nor an orchestrator gains by it."""

import msgspec
import pytest
import trio

from node.market.earlier import EarlierBook
from node.roles.evidence import OPEN_TIMEOUT_S
from node.wire.checks import RequestVerdict
from node.wire.jobs import Challenge, LeaseJob, Opening
from p2p.errors import RequestRefused

WRONG = (bytes(32),) * 2


def first_attempt(world) -> bool:
    return world.outcomes()[0].jobs[0].result.nonce == 6


def earlier(world) -> list[str]:
    """What the validators found about attempts that led to nothing."""
    task = world.market.tasks(status=None, challenge_type=None, limit=1, offset=0).tasks[0]
    found = EarlierBook(world.members["market"].db).of(task.task_id)
    return [verdict.finding for one in found for verdict in one.verdicts]


@pytest.mark.parametrize(
    "changes",
    [
        {"trace": (), "steps": b""},
        {"trace": WRONG},
        {"trace": WRONG, "steps": b""},
        {"steps": b""},
        {"steps": b"\1" * 512},
    ],
)
@pytest.mark.parametrize("size", [16, 640])
async def test_an_orchestrator_cannot_frame_a_worker(
    world, check_money, autojump_clock, changes, size: int
) -> None:
    """It passes on less than it was shown, or something else: the worker is asked itself."""

    async def cut(_peer, message):
        return msgspec.structs.replace(message, **changes)

    for member in world.team("validator"):
        member.sends[RequestVerdict] = cut
    task = await world.buy(size=size)
    done = await world.until(task.task_id, "settled", "refunded")
    assert (done.phase, done.epoch) == ("settled", 1)
    assert first_attempt(world)
    assert len(done.result.validators) == 3
    await check_money(world)


async def test_an_orchestrator_that_does_not_ask_the_worker(
    world, check_money, autojump_clock
) -> None:
    """The validators do, and the outputs come in bulk."""

    async def lose(_peer, _message):
        return None

    for member in world.team("validator"):
        member.sends[Challenge] = lose  # those of the others too
    task = await world.buy()
    await world.holds(lambda: any(one.heard[RequestVerdict] for one in world.team("validator")))
    for member in world.team("validator"):
        del member.sends[Challenge]
    done = await world.until(task.task_id, "settled", "refunded")
    assert done.phase == "settled"
    await check_money(world)


def opens_only_to(world, worker, chosen) -> None:
    async def answer(sender, message, handler):
        if chosen(sender, message):
            return await handler(sender, message)
        raise RequestRefused("missing")

    worker.answers[Challenge] = answer


@pytest.mark.parametrize("to_orchestrator", [True, False])
async def test_a_worker_cannot_fob_anybody_off(
    world, check_money, autojump_clock, to_orchestrator: bool
) -> None:
    """It opens to its orchestrator alone, or to the others alone: either is enough."""

    def chosen(sender, message) -> bool:
        key = world.named(sender).keys.identity.public_key
        return (message.draw.seats[0].key == key) == to_orchestrator

    for worker in world.team("worker"):
        opens_only_to(world, worker, chosen)
    task = await world.buy()
    done = await world.until(task.task_id, "settled", "refunded")
    assert (done.phase, done.epoch) == ("settled", 1)
    assert first_attempt(world)
    await check_money(world)


async def begun_by(world, bad, good, **changes) -> str:
    """A task that `bad` begins alone before `good` is there."""
    await world.crash(good)
    bad.compute.gate = trio.Event()
    task = await world.buy(**changes)
    await world.holds(lambda: bad.heard[LeaseJob])
    await world.start(good)
    await world.meet()
    bad.compute.gate.set()
    return task.task_id


@pytest.mark.parametrize("size", [16, 640])
async def test_a_worker_that_opens_to_nobody(
    world, silence, check_money, autojump_clock, size: int
) -> None:
    """The quorum says so, another does the job in time, and its checks are paid as well."""
    bad, good = world.members["worker-1"], world.members["worker-2"]
    bad.answers[Challenge] = silence
    task_id = await begun_by(world, bad, good, size=size)
    began = trio.current_time()
    done = await world.until(task_id, "verified", "refunded")
    assert trio.current_time() - began < 2 * OPEN_TIMEOUT_S + 3
    assert (done.phase, done.epoch) == ("verified", 1)
    assert done.result.worker_address == good.address
    assert set(earlier(world)) == {"withheld"}
    await world.until(task_id, "settled")
    await check_money(world)


async def test_shown_steps_that_are_not_the_committed_ones(
    world, check_money, autojump_clock
) -> None:
    """To everybody who asks: that is withholding, since it says nothing about the work."""
    bad, good = world.members["worker-1"], world.members["worker-2"]

    async def answer(sender, message, handler):
        opening = await handler(sender, message)
        return Opening(opening.trace, bytes(len(opening.steps)), opening.outputs)

    bad.answers[Challenge] = answer
    task_id = await begun_by(world, bad, good)
    done = await world.until(task_id, "settled", "refunded")
    assert done.result.worker_address == good.address
    assert set(earlier(world)) == {"withheld"}
    await check_money(world)


async def drawn_again(world, worker) -> None:
    """Half of the tasks are its own by chance, so that 40 without it do not happen."""
    jobs = len(worker.compute.jobs)
    for number in range(40):
        task = await world.buy(key=f"later {number}")
        await world.until(task.task_id, "settled")
        if len(worker.compute.jobs) > jobs:
            return
    raise AssertionError("nothing was given to it")


@pytest.mark.parametrize(("finding", "tasks"), [("invalid", 1), ("withheld", 3)])
async def test_whoever_lies_or_withholds_again_and_again_is_barred_for_a_while(
    open_world, tmp_path, check_money, autojump_clock, finding: str, tasks: int
) -> None:
    """By the orchestrator that had the quorum's word for it; there is only one here."""
    options = {"validators": 1, "quorum_size": 1, "quorum_needed": 1, "bar_s": 60}
    async with open_world(tmp_path, **options) as world:
        bad, good = world.members["worker-1"], world.members["worker-2"]

        async def refuse(_sender, _message, _handler):
            raise RequestRefused("missing")

        if finding == "withheld":
            bad.answers[Challenge] = refuse
        else:
            bad.compute.spoil = lambda run: msgspec.structs.replace(run.report, digest=bytes(32))

        def barred() -> int:
            status = world.members["validator-1"].assembly.info.status()
            return status.counts["workers_barred"]

        for number in range(tasks):
            assert barred() == 0
            task_id = await begun_by(world, bad, good, key=f"{number}")
            await world.until(task_id, "settled")
        assert barred() == 1
        await world.restart(world.members["validator-1"])  # the book is kept
        await world.meet()
        jobs = len(bad.compute.jobs)
        for number in range(4):
            task = await world.buy(key=f"good {number}")
            await world.until(task.task_id, "settled")
        assert len(bad.compute.jobs) == jobs
        bad.answers.clear()
        bad.compute.spoil = None
        await trio.sleep(60)
        assert barred() == 0
        if finding == "invalid":  # strikes for withholding take longer to fade
            await drawn_again(world, bad)
        await check_money(world)
