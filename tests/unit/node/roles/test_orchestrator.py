"""An orchestrator's leases: whose it takes, which it keeps, and how each of them ends."""

import msgspec
import pytest
import trio

from node.roles import orchestrator as module
from node.roles.leases import JobProgress, LeaseRecord, Leases
from node.roles.orchestrator import LAST_WORD_S
from node.roles.outcomes import Verified
from node.roles.reports import REPORT_PAUSES_S
from node.verification.draws import JOB_STRIDE, Pass, check_pass
from node.verification.statements import Judgement
from node.wire.checks import RequestCommitment
from node.wire.jobs import SUPERSEDED, JobCommitted, JobFailed
from node.wire.leases import (
    MAX_OFFER,
    CancelLease,
    OfferLeases,
    ReportFailure,
    ReportResult,
)
from node.wire.presence import Ack
from p2p.errors import RequestRefused
from p2p.memory import virtual_clock_ms
from storage.memory import MemoryStore
from storage.store import Batch
from storage.tables import Table

CHAIN = "cpc-devnet-1"


@pytest.fixture
async def stage(open_stage, make_author, autojump_clock):
    """The orchestrator is validator 2; nobody else has a role."""
    async with open_stage(make_author(2)) as opened:
        yield opened


def records(stage) -> dict[str, LeaseRecord]:
    return {
        key.decode(): record
        for key, record in Table(stage.db, "leases", LeaseRecord, version=2).items()
    }


def own(stage, **changes: object):
    return stage.draw(stage.author, **changes)


async def never(_sender: str, _message: RequestCommitment) -> Ack:
    await trio.sleep_forever()
    raise AssertionError


async def offer(stage, *draws, who=None) -> list[tuple[bool, str]]:
    answers = (await stage.ask(who or stage.market, OfferLeases(draws))).answers
    return [(answer.taken, answer.reason) for answer in answers]


async def test_a_lease_is_stored_before_it_is_answered(stage, autojump_clock) -> None:
    orchestrator, draw = await stage.run_orchestrator(), own(stage)
    assert await offer(stage, draw) == [(True, "")]
    assert records(stage) == {draw.task_id: LeaseRecord(draw)}
    assert orchestrator.leases == 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"parameters": b""}, "canonical"),
        ({"parameters": b"\xff" * 300}, "canonical"),
        ({"kind": "rendering"}, "rendering"),
        ({"expires_ms": 1}, "over"),
        ({"expires_ms": 2**62}, "too late"),
        ({"seats": ()}, "seats"),
        ({"snapshot": bytes(32)}, "snapshot"),
        ({"needed": 1}, "smaller"),
        ({"needed": 4}, "quorum"),
    ],
)
async def test_no_draw_that_a_stranger_signs_stops_the_node(
    stage, make_author, autojump_clock, changes, reason: str
) -> None:
    """Where no market is pinned, anybody can offer anything."""
    orchestrator, stranger = await stage.run_orchestrator(), make_author(6)
    ((taken, why),) = await offer(stage, own(stage, by=stranger, **changes), who=stranger)
    assert not taken
    assert reason in why
    assert orchestrator.leases == 0
    assert await offer(stage, own(stage)) == [(True, "")]


async def test_draws_for_others_or_by_others(stage, make_author, autojump_clock) -> None:
    orchestrator = await stage.run_orchestrator()
    for_another = stage.draw(make_author(3))
    ((taken, why),) = await offer(stage, for_another)
    assert (taken, "another validator" in why) == (False, True)
    ((taken, why),) = await offer(stage, own(stage), who=make_author(6))
    assert (taken, "another market" in why) == (False, True)
    assert orchestrator.leases == 0


async def test_an_offer_has_a_bound(stage, autojump_clock) -> None:
    await stage.run_orchestrator()
    with pytest.raises(RequestRefused):
        await offer(stage, *[own(stage)] * (MAX_OFFER + 1))


async def test_each_draw_of_an_offer_has_its_answer(stage, autojump_clock) -> None:
    orchestrator = await stage.run_orchestrator()
    draws = [own(stage, task_id=f"task-{number}") for number in range(4)]
    draws[1] = msgspec.structs.replace(draws[1], signature=bytes(64))
    draws[3] = draws[0]
    assert [taken for taken, _ in await offer(stage, *draws)] == [True, False, True, True]
    assert orchestrator.leases == 2


async def test_an_offer_that_is_repeated_disturbs_nothing(stage, autojump_clock) -> None:
    """As by a market that was restarted: the attempt at work goes on."""
    orchestrator, draw = await stage.run_orchestrator(), own(stage)
    await offer(stage, draw)
    running = orchestrator._running[draw.task_id]
    for _ in range(3):
        assert await offer(stage, draw, draw) == [(True, ""), (True, "")]
    assert orchestrator._running == {draw.task_id: running}
    assert not running.scope.cancel_called


async def test_of_two_epochs_the_later_counts(stage, autojump_clock) -> None:
    orchestrator = await stage.run_orchestrator()
    draws = [own(stage, epoch=epoch) for epoch in range(4)]
    await offer(stage, draws[2])
    for stale in (draws[1], draws[0], own(stage, epoch=2, needed=3)):
        ((taken, why),) = await offer(stage, stale)
        assert (taken, "superseded" in why) == (False, True)
    first = orchestrator._running[draws[2].task_id]
    assert await offer(stage, draws[3]) == [(True, "")]
    await trio.testing.wait_all_tasks_blocked()
    assert first.scope.cancel_called
    assert records(stage)[draws[3].task_id].draw == draws[3]
    assert orchestrator.leases == 1


async def test_another_market_cannot_take_a_lease_over(stage, make_author, autojump_clock) -> None:
    await stage.run_orchestrator()
    draw, rival = own(stage), make_author(6)
    await offer(stage, draw)
    ((taken, _),) = await offer(stage, own(stage, by=rival, epoch=9), who=rival)
    assert not taken
    await stage.ask(rival, CancelLease(draw.task_id, 1))
    assert records(stage)[draw.task_id].draw == draw


async def test_a_full_orchestrator_keeps_what_it_has(stage, monkeypatch, autojump_clock) -> None:
    monkeypatch.setattr(module, "MAX_LEASES", 3)
    await stage.run_orchestrator()
    draws = [own(stage, task_id=f"task-{number}") for number in range(5)]
    answers = (await stage.ask(stage.market, OfferLeases(tuple(draws)))).answers
    assert [answer.taken for answer in answers] == [True] * 3 + [False] * 2
    assert answers[3].reason == "busy"
    key = stage.author.identity.public_key
    refused = Pass(1, key, "orchestrate", "refused", 0, answers[3].refusal)
    check_pass(refused, draws[3].task_id, CHAIN)
    assert [taken for taken, _ in await offer(stage, *draws[2:4])] == [True, False]


async def test_cancelling(stage, autojump_clock) -> None:
    orchestrator, draw = await stage.run_orchestrator(), own(stage)
    await offer(stage, draw)
    await stage.ask(stage.market, CancelLease(draw.task_id, 2))
    await stage.ask(stage.market, CancelLease("unknown", 1))
    assert orchestrator.leases == 1
    await stage.ask(stage.market, CancelLease(draw.task_id, 1))
    await trio.testing.wait_all_tasks_blocked()
    assert (orchestrator.leases, records(stage)) == (0, {})
    assert await offer(stage, draw) == [(True, "")]


async def test_a_lease_that_is_called_off_leaves_its_place_to_the_next(
    stage, autojump_clock
) -> None:
    """Offered again at once, before what ran under it has ended."""
    orchestrator, draw = await stage.run_orchestrator(), own(stage)
    for _ in range(3):
        assert await offer(stage, draw) == [(True, "")]
        await stage.ask(stage.market, CancelLease(draw.task_id, 1))
    assert await offer(stage, draw) == [(True, "")]
    await trio.testing.wait_all_tasks_blocked()
    assert (orchestrator.leases, list(records(stage))) == (1, [draw.task_id])


async def test_newer_seats_of_the_same_epoch_are_taken_on(
    stage, make_author, autojump_clock
) -> None:
    """The market drew again, and its answer was lost: it offers what it has stored."""
    orchestrator = await stage.run_orchestrator()
    draws = [own(stage, redraw=redraw) for redraw in range(3)]
    assert await offer(stage, draws[1]) == [(True, "")]
    running = orchestrator._running[draws[1].task_id]
    for newest, offered in ((1, draws[0]), (1, draws[1]), (2, draws[2]), (2, draws[1])):
        assert await offer(stage, offered) == [(True, "")]
        assert records(stage)[offered.task_id].draw == draws[newest]
        assert running.seats.draw == draws[newest]
    assert orchestrator._running == {draws[1].task_id: running}


async def test_a_lease_ends_with_its_draw(stage, autojump_clock) -> None:
    """Just before, so that the market hears of it from its orchestrator."""
    orchestrator, desk = await stage.run_orchestrator(), Desk(stage)
    for one in stage.validators[1:]:
        stage.person(one).serve(RequestCommitment, never)
    await offer(stage, own(stage, expires_ms=virtual_clock_ms() + 3_000))
    await trio.sleep(2.9 - LAST_WORD_S)
    assert (orchestrator.leases, desk.failures) == (1, [])
    await trio.sleep(0.2)
    assert (orchestrator.leases, records(stage)) == (0, {})
    assert [(one.epoch, one.reason) for one in desk.failures] == [(1, "no result in time")]


async def test_messages_that_no_attempt_waits_for(stage, make_author, autojump_clock) -> None:
    await stage.run_orchestrator()
    draw = own(stage)
    await offer(stage, draw)
    result, manifest = stage.result(draw)
    for message in (JobCommitted(1, result, manifest), JobFailed(draw.task_id, 1, 6, "no")):
        with pytest.raises(RequestRefused) as refused:
            await stage.ask(make_author(5), message)
        assert refused.value.code == SUPERSEDED


class Desk:
    """The market that a result is reported to."""

    def __init__(self, stage, parameters: bytes = b"", jobs: int = 1) -> None:
        self.parameters = parameters or stage.draw().parameters
        self.jobs = jobs
        self.refusals: list[str] = []
        self.reports: list[ReportResult] = []
        self.failures: list[ReportFailure] = []
        network = stage.person(stage.market)
        network.serve(ReportResult, self._report)
        network.serve(ReportFailure, self._fail)

    async def _report(self, _sender: str, message: ReportResult) -> Ack:
        self.reports.append(message)
        if self.refusals:
            raise RequestRefused(self.refusals.pop(0), "not now")
        return Ack()

    async def _fail(self, _sender: str, message: ReportFailure) -> Ack:
        self.failures.append(message)
        return Ack()


async def verified(stage, desk: Desk, **changes: object) -> ReportResult:
    """Begin with verified results in the store, as after a crash before they were reported."""
    draw, leases, batch = (
        own(stage, parameters=desk.parameters, **changes),
        Leases(stage.db),
        Batch(),
    )
    leases.take(batch, draw)
    await stage.db.commit(batch)
    judgements = []
    for job in range(desk.jobs):
        nonce = job * JOB_STRIDE + 6
        one = Judgement(draw, *stage.result(draw, nonce), ())
        await leases.note(draw, job, JobProgress(1, Verified(one, (b"x",))))
        judgements.append(one)
    await stage.run_orchestrator()
    inline = ((b"x",),) * desk.jobs
    return ReportResult(draw.task_id, 1, tuple(judgements), inline=inline)


@pytest.mark.parametrize("jobs", [1, 3])
async def test_stored_results_are_reported_after_a_restart(
    stage, parameters, autojump_clock, jobs: int
) -> None:
    desk = Desk(stage, parameters(16, 2, jobs), jobs)
    report = await verified(stage, desk)
    await trio.testing.wait_all_tasks_blocked()
    assert desk.reports == [report]
    ((_, passed_on, market),) = stage.verified
    assert (passed_on, market) == (report, stage.market.identity.peer_id)
    assert records(stage) == {}


@pytest.mark.parametrize("code", ["busy", "internal", "unknown", "timeout", "output"])
async def test_a_market_that_cannot_take_it_now_is_asked_again(
    stage, autojump_clock, code: str
) -> None:
    """One that has just started, or is overloaded, does not cost the worker its pay."""
    desk = Desk(stage)
    desk.refusals = [code, code]
    await verified(stage, desk)
    await trio.sleep(3 * REPORT_PAUSES_S[0] + 0.1)
    assert len(desk.reports) == 3
    assert len(stage.verified) == 1
    assert records(stage) == {}


@pytest.mark.parametrize("code", ["conflict", "statement_invalid", "not_found"])
async def test_a_result_that_will_never_be_taken_is_given_up(
    stage, autojump_clock, code: str
) -> None:
    desk = Desk(stage)
    desk.refusals = [code]
    await verified(stage, desk)
    await trio.testing.wait_all_tasks_blocked()
    assert (len(desk.reports), stage.verified, records(stage)) == (1, [], {})


async def test_a_result_is_reported_after_its_lease_as_well(stage, autojump_clock) -> None:
    """Its market may have taken it before, and then waits to hear of its place on the chain."""
    desk = Desk(stage)
    desk.refusals = ["busy"] * 10
    await verified(stage, desk, expires_ms=virtual_clock_ms() - 5000)
    await trio.sleep(60)
    assert (len(desk.reports), desk.failures) == (11, [])
    assert len(stage.verified) == 1
    assert records(stage) == {}


async def test_a_result_that_nobody_takes_is_given_up(stage, monkeypatch, autojump_clock) -> None:
    monkeypatch.setattr(module, "HEARD_WITHIN_S", 60)
    desk = Desk(stage)
    desk.refusals = ["busy"] * 100
    await verified(stage, desk)
    await trio.sleep(61 + 20)
    assert 10 < len(desk.reports) < 30
    assert records(stage) == {}
    assert stage.verified == []


async def test_leases_are_taken_up_after_a_restart(open_stage, make_author, autojump_clock) -> None:
    store = MemoryStore()
    async with open_stage(make_author(2), store=store) as stage:
        await stage.run_orchestrator()
        long, short = own(stage), own(stage, task_id="short", expires_ms=virtual_clock_ms() + 1000)
        await offer(stage, long, short)
    await trio.sleep(2)
    async with open_stage(make_author(2), store=store) as stage:
        orchestrator = await stage.run_orchestrator()
        await trio.testing.wait_all_tasks_blocked()
        assert orchestrator.leases == 1
        assert list(records(stage)) == [long.task_id]
