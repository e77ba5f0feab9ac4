"""Workers that lie, steal, stall or vanish: unpaid, and the task is done by somebody else."""

from collections.abc import Callable
from hashlib import sha256

import msgspec
import pytest
import trio
from blake3 import blake3

from gpu.cpu import CpuBackend
from gpu.workloads import WORKLOADS
from gpu.workloads.base import RunReport
from gpu.workloads.synthetic.key import chain_key, out_digest
from node.keys import bind
from node.roles.results import signed_result
from node.verification.author import Author
from node.wire.jobs import Challenge, JobAnswer, JobCommitted, LeaseJob, Opening
from node.wire.presence import Answer
from p2p.errors import RequestRefused

CHAIN = "cpc-devnet-1"
SIZE, STEPS = 16, 3
STEP = SIZE * SIZE


def forge(run, change: Callable[[bytearray], None]) -> RunReport:
    """Change the iterates, and commit to the changed ones as if they had been computed."""
    steps = bytearray((run.folder / "trace.bin").read_bytes())
    change(steps)
    (run.folder / "trace.bin").write_bytes(steps)
    (run.folder / "matrix").write_bytes(steps[-STEP:])
    digest = sha256(steps[-STEP:]).digest()
    key = chain_key(run.job, run.parameters)
    return msgspec.structs.replace(
        run.report,
        outputs=(msgspec.structs.replace(run.report.outputs[0], sha256=digest),),
        trace=tuple(
            blake3(steps[start : start + STEP]).digest() for start in range(0, len(steps), STEP)
        ),
        digest=out_digest(key, run.parameters, digest),
    )


def flip(step: int) -> Callable[[bytearray], None]:
    def change(steps: bytearray) -> None:
        steps[step * STEP + 7] = (steps[step * STEP + 7] + 1) % 241

    return change


def above_240(steps: bytearray) -> None:
    steps[0] = 255


def shorten(steps: bytearray) -> None:
    del steps[:STEP]


def other_output(run) -> RunReport:
    (run.folder / "matrix").write_bytes(bytes(STEP))
    return run.report


def other_trace(run) -> RunReport:
    return msgspec.structs.replace(run.report, trace=(bytes(32), *run.report.trace[1:]))


def other_digest(run) -> RunReport:
    return msgspec.structs.replace(run.report, digest=bytes(32))


def cut_trace(run) -> RunReport:
    (run.folder / "trace.bin").write_bytes(b"")
    return run.report


def as_somebody_else(run) -> RunReport:
    """The honest work of another worker, which is bound to that one's address."""
    job = msgspec.structs.replace(run.job, worker="cpc1nzkar09gyp7t3r0rdrfezeld922fqlfs97cdfd")
    workload = WORKLOADS["synthetic"]
    return workload.run(job, run.parameters, CpuBackend(), run.folder, lambda _: None)


SPOILS = {
    "first iterate": lambda run: forge(run, flip(0)),
    "middle iterate": lambda run: forge(run, flip(1)),
    "last iterate": lambda run: forge(run, flip(STEPS - 1)),
    "no residue": lambda run: forge(run, above_240),
    "too few iterates": lambda run: forge(run, shorten),
    "other output": other_output,
    "other trace": other_trace,
    "other digest": other_digest,
    "no trace": cut_trace,
    "another's work": as_somebody_else,
}


async def done_by_the_other(world, bad, good) -> None:
    """Have `bad` begin a task alone; `good` has to end it, and only `good` is paid."""
    await world.crash(good)
    bad.compute.gate = trio.Event()
    task = await world.buy(size=SIZE, iterations=STEPS)
    await world.holds(lambda: bad.heard[LeaseJob])
    await world.start(good)
    await world.meet()
    bad.compute.gate.set()
    done = await world.until(task.task_id, "settled", "refunded")
    assert done.phase == "settled", done
    assert done.result.worker_address == good.address
    assert done.epoch == 1


@pytest.fixture
async def bad(world):
    return world.members["worker-1"]


@pytest.fixture
async def good(world):
    return world.members["worker-2"]


@pytest.mark.parametrize("name", SPOILS)
async def test_a_wrong_result_is_found(
    world, bad, good, check_money, autojump_clock, name: str
) -> None:
    bad.compute.spoil = SPOILS[name]
    await done_by_the_other(world, bad, good)
    assert len(bad.compute.jobs) == 1
    await check_money(world)
    await world.holds(lambda: not world.leftovers())


async def test_a_worker_that_lied_gets_the_next_task_last(world, bad, good, autojump_clock) -> None:
    bad.compute.spoil = other_digest
    await done_by_the_other(world, bad, good)
    striker = world.judgements()[0].draw.seats[0].key
    for _ in range(6):
        task = await world.buy()
        await world.until(task.task_id, "settled")
    by_striker = [one for one in world.judgements() if one.draw.seats[0].key == striker]
    assert {one.result.worker_address for one in by_striker} == {good.address}


async def test_a_result_of_another_worker_earns_nothing(
    world, bad, good, check_money, autojump_clock
) -> None:
    """The thief has seen how somebody else did the same work, signature and all."""
    stolen: list[JobCommitted] = []

    async def copy(_peer: str, message: JobCommitted) -> JobCommitted:
        stolen.append(message)
        return message

    async def present(_peer: str, message: JobCommitted) -> JobCommitted:
        result = msgspec.structs.replace(
            stolen[0].result, task_id=message.result.task_id, nonce=message.result.nonce
        )
        return msgspec.structs.replace(message, result=result, manifest=stolen[0].manifest)

    await world.crash(bad)
    good.sends[JobCommitted] = copy
    first = await world.buy(size=SIZE, iterations=STEPS)
    await world.until(first.task_id, "settled")
    bad.sends[JobCommitted] = present
    await world.start(bad)
    await done_by_the_other(world, bad, good)
    await check_money(world)


async def test_a_worker_cannot_work_under_anothers_name(
    world, bad, good, check_money, autojump_clock
) -> None:
    """All is computed and signed as the other would: still it is not the one that was asked."""
    identity, account = good.keys.identity, good.keys.account
    author = Author(identity, bind(identity, account, CHAIN), account.address, CHAIN)

    def as_the_other(run) -> RunReport:
        job = msgspec.structs.replace(run.job, worker=good.address)
        workload = WORKLOADS["synthetic"]
        return workload.run(job, run.parameters, CpuBackend(), run.folder, lambda _: None)

    async def sign_as_the_other(_peer, message: JobCommitted) -> JobCommitted:
        draw = world.record(message.result.task_id).draw
        result = signed_result(draw, message.result.nonce, message.manifest, author)
        return msgspec.structs.replace(message, result=result)

    bad.compute.spoil = as_the_other
    bad.sends[JobCommitted] = sign_as_the_other
    await done_by_the_other(world, bad, good)
    assert world.judgements()[0].result.nonce == 7
    await check_money(world)


async def never(_peer: str, _message: object) -> None:
    return None


async def test_a_result_that_is_never_sent(world, bad, good, check_money, autojump_clock) -> None:
    bad.sends[JobCommitted] = never
    await done_by_the_other(world, bad, good)
    await check_money(world)


async def test_a_lease_that_is_never_answered(
    world, bad, good, silence, check_money, autojump_clock
) -> None:
    bad.answers[LeaseJob] = silence
    await done_by_the_other(world, bad, good)
    await check_money(world)


async def test_an_opening_that_is_withheld(
    world, bad, good, silence, check_money, autojump_clock
) -> None:
    bad.answers[Challenge] = silence
    await done_by_the_other(world, bad, good)
    await check_money(world)
    await world.holds(lambda: not world.leftovers())


def changed_opening(opening: Opening, field: str) -> Opening:
    value = getattr(opening, field)
    flipped = bytes([value[0] ^ 1]) + value[1:] if field == "steps" else (bytes(32), *value[1:])
    return msgspec.structs.replace(opening, **{field: flipped})


@pytest.mark.parametrize("field", ["trace", "steps", "outputs"])
async def test_an_opening_of_something_else(
    world, bad, good, check_money, autojump_clock, field: str
) -> None:
    async def answer(sender, message, handler):
        return changed_opening(await handler(sender, message), field)

    bad.answers[Challenge] = answer
    await done_by_the_other(world, bad, good)
    await check_money(world)


async def test_a_worker_that_refuses_every_job(
    world, bad, good, check_money, autojump_clock
) -> None:
    async def refuse(sender, message, handler):
        return JobAnswer(Answer(taken=False, reason="no"))

    bad.answers[LeaseJob] = refuse
    await done_by_the_other(world, bad, good)
    assert not bad.compute.jobs
    await check_money(world)


async def test_a_full_worker_is_passed_over(world, bad, good, check_money, autojump_clock) -> None:
    """One that says `busy` keeps nobody from asking the others."""

    async def refuse(sender, message, handler):
        return JobAnswer(Answer(taken=False, reason="busy"))

    bad.answers[LeaseJob] = refuse
    await done_by_the_other(world, bad, good)
    assert world.judgements()[0].result.nonce == 6  # nothing was begun: still the first attempt
    await check_money(world)


async def test_a_worker_cannot_speak_for_another(world, bad, good, autojump_clock) -> None:
    await world.crash(bad)
    good.compute.gate = trio.Event()
    task = await world.buy(size=SIZE, iterations=STEPS)
    orchestrator = await world.orchestrator(task.task_id)
    await good.compute.started.wait()
    forged: list[JobCommitted] = []

    async def copy(_peer: str, message: JobCommitted) -> JobCommitted:
        forged.append(message)
        with pytest.raises(RequestRefused, match="nobody waits"):
            await bad.network.request(orchestrator.peer_id, message, timeout_s=5)
        return message

    good.sends[JobCommitted] = copy
    await world.start(bad)
    await world.meet()
    good.compute.gate.set()
    await world.until(task.task_id, "settled")
    assert forged


async def test_a_worker_that_vanishes_is_replaced_at_once(
    world, bad, good, check_money, autojump_clock
) -> None:
    await world.crash(good)
    bad.compute.gate = trio.Event()
    task = await world.buy(size=SIZE, iterations=STEPS)
    await bad.compute.started.wait()
    await world.start(good)
    await world.meet()
    began = trio.current_time()
    await world.crash(bad)
    done = await world.until(task.task_id, "verified")
    assert trio.current_time() - began < 2
    assert done.result.worker_address == good.address
    await world.start(bad)  # what it had begun is given up, and no longer wanted
    await world.until(task.task_id, "settled")
    await world.holds(lambda: not world.leftovers())
    await check_money(world)
