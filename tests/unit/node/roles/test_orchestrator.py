"""An orchestrator's leases: whose it takes, which it keeps, and how each of them ends."""

import msgspec
import pytest
import trio

from node.roles import orchestrator as module
from node.roles.orchestrator import REPORT_PAUSE_S, LeaseRecord
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


@pytest.fixture
async def stage(open_stage, make_author, autojump_clock):
    """The orchestrator is validator 2; nobody else has a role."""
    async with open_stage(make_author(2)) as opened:
        yield opened


def records(stage) -> dict[str, LeaseRecord]:
    return {key.decode(): record for key, record in Table(stage.db, "leases", LeaseRecord).items()}


def own(stage, **changes: object):
    return stage.draw(stage.author, **changes)


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
    answers = await offer(stage, *draws)
    assert [taken for taken, _ in answers] == [True] * 3 + [False] * 2
    assert "busy" in answers[3][1]
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


async def test_a_lease_ends_with_its_draw(stage, autojump_clock) -> None:
    orchestrator = await stage.run_orchestrator()
    await offer(stage, own(stage, expires_ms=virtual_clock_ms() + 3_000))
    await trio.sleep(2.9)
    assert orchestrator.leases == 1
    await trio.sleep(0.2)
    assert (orchestrator.leases, records(stage)) == (0, {})


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

    def __init__(self, stage) -> None:
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


async def verified(stage, desk: Desk) -> ReportResult:
    """Begin with a verified result in the store, as after a crash before it was reported."""
    draw = own(stage)
    result, manifest = stage.result(draw)
    report = ReportResult(1, result, manifest, ())
    batch = Batch()
    table = Table(stage.db, "leases", LeaseRecord)
    table.put(batch, draw.task_id.encode(), LeaseRecord(draw, report=report))
    await stage.db.commit(batch)
    await stage.run_orchestrator()
    return report


async def test_a_stored_result_is_reported_after_a_restart(stage, autojump_clock) -> None:
    desk = Desk(stage)
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
    await trio.sleep(2 * REPORT_PAUSE_S + 0.1)
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


async def test_a_result_that_nobody_takes_goes_with_its_lease(stage, autojump_clock) -> None:
    desk = Desk(stage)
    desk.refusals = ["busy"] * 100
    await verified(stage, desk)
    await trio.sleep(21)
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
