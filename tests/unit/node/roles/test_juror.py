"""A validator in a jury: computes for whom it must, once, and says what came out."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from gpu.cpu import CpuBackend
from gpu.workloads import WORKLOADS
from gpu.workloads.base import JobContext
from node.amounts import Amount
from node.offload import Inline, Threads
from node.roles.admission import SKEW_MS
from node.roles.juror import ANSWER_WITHIN_S, MAX_CASES
from node.roles.reexecution import PREFIX, Reexecution, Stopped
from node.roles.results import manifest_of
from node.verification.claims import StatementInvalid
from node.verification.draws import Pass, Seat, check_pass
from node.verification.juries import Jury, JuryJob
from node.verification.rulings import check_ruling
from node.verification.statements import manifest_digest
from node.wire.appeals import RequestRuling
from p2p.errors import RequestRefused
from p2p.memory import virtual_clock_ms

CHAIN = "cpc-devnet-1"


@pytest.fixture
async def stage(open_stage, make_author, autojump_clock):
    async with open_stage(make_author(3)) as opened:
        yield opened


def full_jury(stage, **changes: object) -> Jury:
    return stage.jury(*stage.validators, **changes)


async def ask(stage, jury: Jury) -> Any:
    return (await stage.ask(stage.market, RequestRuling(jury))).ruling


async def reason(stage, jury: Jury) -> str:
    """Of a refusal that the juror signed, as a market may pass it over for."""
    answer = await stage.ask(stage.market, RequestRuling(jury))
    assert answer.ruling is None
    said = answer.refusal
    check_pass(Pass(1, said.validator_key, "rule", "refused", 0, said), jury.task_id, CHAIN)
    assert said.validator_key == stage.author.identity.public_key
    return said.reason


async def refusal(stage, jury: Jury, who=None) -> str:
    with pytest.raises(RequestRefused) as error:
        await stage.ask(who or stage.market, RequestRuling(jury))
    return str(error.value)


def computed(jury: Jury, job: JuryJob, folder: Path) -> bytes:
    """What a worker would have signed."""
    workload = WORKLOADS["synthetic"]
    context = JobContext(CHAIN, jury.task_id, job.worker_address, job.nonce)
    parameters = workload.from_canonical(jury.parameters)
    report = workload.run(context, parameters, CpuBackend(), folder, lambda _part: None)
    return manifest_digest(manifest_of(jury, folder, report), CHAIN)


class Counted(Reexecution):
    """Counts the juries that it computes for, and may be held or fail."""

    def __init__(self, scratch: Path) -> None:
        super().__init__(chain_id=CHAIN, backend=CpuBackend(), scratch=scratch, offload=Inline())
        self.runs = 0
        self.gate: trio.Event | None = None
        self.failure: Exception | None = None

    async def hashes(self, jury: Jury) -> tuple[bytes, ...]:
        self.runs += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return await super().hashes(jury)


@pytest.fixture
def counted(stage) -> Counted:
    stage.scratch.mkdir()
    return Counted(stage.scratch)


async def test_it_signs_what_it_computed(stage, tmp_path, autojump_clock) -> None:
    juror = await stage.run_juror()
    jury = full_jury(stage)
    ruling = await ask(stage, jury)
    check_ruling(ruling, jury, CHAIN)
    assert ruling.validator_key == stage.author.identity.public_key
    assert ruling.hashes == (computed(jury, jury.jobs[0], tmp_path),)
    assert juror.rulings == 1
    assert not list(stage.scratch.iterdir())


async def test_what_comes_out_is_the_worker_s_and_the_attempt_s(
    stage, parameters, tmp_path, autojump_clock
) -> None:
    """Each job of several, and no other's."""
    await stage.run_juror()
    jobs = tuple(JuryJob(nonce, f"cpc1{nonce}") for nonce in (6, (1 << 16) + 7, (2 << 16) + 6))
    jury = full_jury(stage, parameters=parameters(16, 2, 3), jobs=jobs)
    ruling = await ask(stage, jury)
    assert ruling.hashes == tuple(computed(jury, job, tmp_path) for job in jobs)
    assert len(set(ruling.hashes)) == 3


async def test_a_proven_result_comes_out_the_same(
    stage, parameters, tmp_path, autojump_clock
) -> None:
    await stage.run_juror()
    jury = full_jury(stage, parameters=parameters(16, 2, proof=True))
    assert (await ask(stage, jury)).hashes == (computed(jury, jury.jobs[0], tmp_path),)


async def test_asked_again_it_computes_once(stage, counted, autojump_clock) -> None:
    await stage.run_juror(reexecution=counted)
    jury = full_jury(stage)
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(ask, stage, jury)
    assert await ask(stage, jury) == await ask(stage, jury)
    assert counted.runs == 1


async def test_what_it_computes_counts_on_when_others_lose_their_seats(
    stage, counted, make_author, autojump_clock
) -> None:
    """It is the same case; one that has lost its own seat begins nothing."""
    await stage.run_juror(reexecution=counted)
    own = stage.author.identity.public_key
    drawn = (
        stage.jury(*stage.validators, make_author(14), task_id=f"task-{number}")
        for number in range(20)
    )
    jury, other, *_ = [one for one in drawn if own in {seat.key for seat in one.seats}]
    gone = next(seat.key for seat in jury.seats if seat.key != own)
    later = stage.passing(jury, gone)
    assert gone not in {seat.key for seat in later.seats}
    ruling = await ask(stage, jury)
    assert await ask(stage, later) == ruling
    check_ruling(ruling, later, CHAIN)
    assert counted.runs == 1
    assert "not in the jury" in await refusal(stage, stage.passing(other, own))
    assert counted.runs == 1


async def test_while_it_computes_it_says_so(stage, counted, autojump_clock) -> None:
    counted.gate = trio.Event()
    await stage.run_juror(reexecution=counted)
    jury, began = full_jury(stage), trio.current_time()
    assert await ask(stage, jury) is None
    assert trio.current_time() - began == pytest.approx(ANSWER_WITHIN_S)
    counted.gate.set()
    assert await ask(stage, jury) is not None
    assert counted.runs == 1


async def test_at_the_jury_s_end_it_stops(stage, counted, autojump_clock) -> None:
    counted.gate = trio.Event()
    await stage.run_juror(reexecution=counted)
    jury = full_jury(stage)
    assert await ask(stage, jury) is None
    await trio.sleep(20)
    assert await reason(stage, jury) == "cannot"
    await ask(stage, full_jury(stage))
    assert "over" in await refusal(stage, jury)
    assert counted.runs == 2


@pytest.mark.parametrize("failure", [OSError(28, "no space"), MemoryError()])
async def test_what_it_cannot_compute_it_says_nothing_about(
    stage, counted, autojump_clock, failure
) -> None:
    counted.failure = failure
    juror = await stage.run_juror(reexecution=counted)
    jury = full_jury(stage)
    for _ in range(2):
        assert await reason(stage, jury) == "cannot"
    assert (counted.runs, juror.rulings) == (1, 0)


async def test_it_takes_so_many_juries_and_no_more(stage, counted, autojump_clock) -> None:
    counted.gate = trio.Event()
    await stage.run_juror(reexecution=counted)
    juries = [full_jury(stage, task_id=f"task-{number}") for number in range(MAX_CASES + 1)]
    async with trio.open_nursery() as nursery:
        for jury in juries[:-1]:
            nursery.start_soon(ask, stage, jury)
    assert await reason(stage, juries[-1]) == "busy"
    counted.gate.set()
    await trio.sleep(21)
    assert await ask(stage, full_jury(stage, task_id="later")) is not None


async def test_for_whom_it_does_not_compute(stage, counted, parameters, autojump_clock) -> None:
    await stage.run_juror(reexecution=counted)
    jury = full_jury(stage)
    reseated = tuple(reversed(jury.seats))
    foreign = stage.jury(*stage.validators, by=stage.stranger)
    others = (stage.validators[0], stage.validators[2], stage.stranger)
    for refused, words in (
        (msgspec.structs.replace(jury, signature=bytes(64)), "did not sign"),
        (msgspec.structs.replace(jury, epoch=2), "did not sign"),
        (full_jury(stage, seats=reseated), "do not follow"),
        (full_jury(stage, seats=jury.seats[:2]), "do not follow"),
        (full_jury(stage, needed=1), "fewer must agree"),
        (full_jury(stage, jobs=()), "of the plan"),
        (full_jury(stage, jobs=jury.jobs * 2), "of the plan"),
        (full_jury(stage, parameters=parameters(16, 1 << 20)), "parameters"),
        (full_jury(stage, parameters=b"p"), "parameters"),
        (full_jury(stage, kind="rendering"), "does not know"),
        (full_jury(stage, expires_ms=virtual_clock_ms()), "over"),
        (full_jury(stage, expires_ms=virtual_clock_ms() + 3_600_000 + SKEW_MS + 1), "too late"),
        (foreign, "only the jury's market"),
        (stage.jury(*others), "not in the jury"),
    ):
        assert words in await refusal(stage, refused)
    assert "only the jury's market" in await refusal(stage, jury, stage.stranger)
    assert counted.runs == 0
    await ask(stage, jury)
    assert "only the jury's market" in await refusal(stage, jury, stage.stranger)


async def test_pinned_markets_alone_have_juries(stage, counted, autojump_clock) -> None:
    gate = stage.jury_gate(markets=[stage.stranger.identity.peer_id])
    await stage.run_juror(reexecution=counted, gate=gate)
    assert "pins other" in await refusal(stage, full_jury(stage))


async def test_a_snapshot_of_the_past_is_not_drawn_from(stage, autojump_clock) -> None:
    """Else a market could look for one whose jury it likes."""
    gate = stage.jury_gate()
    await gate.admit(full_jury(stage))
    later = stage.jury(*stage.validators[:2])
    await gate.admit(later)
    await trio.sleep(SKEW_MS / 1000 + 21)
    old = full_jury(stage)
    with pytest.raises(StatementInvalid, match="replaced"):
        await gate.admit(old)


async def test_what_a_crash_left_is_deleted(stage, autojump_clock) -> None:
    (stage.scratch / f"{PREFIX}left").mkdir(parents=True)
    (stage.scratch / "another").mkdir()
    await stage.run_juror()
    assert [one.name for one in stage.scratch.iterdir()] == ["another"]


class Told(Threads):
    """Says when it is asked to run something, and whether that was stopped."""

    stopped = False

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.started = trio.Event()

    async def __call__(self, function: Any) -> Any:
        self.started.set()
        try:
            return await super().__call__(function)
        except Stopped:
            self.stopped = True
            raise


async def test_a_run_that_nobody_waits_for_ends(tmp_path, make_author, parameters) -> None:
    """In a thread, within a report of progress; its folder goes with it."""
    told = Told(1)
    reexecution = Reexecution(chain_id=CHAIN, backend=CpuBackend(), scratch=tmp_path, offload=told)
    jury = Jury(
        task_id="t",
        epoch=1,
        kind="synthetic",
        parameters=parameters(512, 1_000),
        jobs=(JuryJob(6, "cpc1w"),),
        fee=Amount(0),
        beacon=bytes(32),
        snapshot=bytes(32),
        excluded=(),
        seats=(Seat(bytes(32), "cpc1v"),),
        needed=1,
        expires_ms=0,
        market_key=bytes(32),
    )
    with trio.fail_after(120):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reexecution.hashes, jury)
            await told.started.wait()
            nursery.cancel_scope.cancel()
    assert told.stopped
    assert not list(tmp_path.iterdir())
