"""Leases, results and ends of tasks, whatever is reported and whoever reports it."""

from collections import Counter

import msgspec
import pytest

from node.amounts import UNITS_PER_CPC
from node.errors import Conflict, NotFound
from node.l1.errors import BadAddress
from node.market.draw import Candidate
from node.verification.batches import leaf_of
from node.verification.statements import StatementInvalid, check_draw, sign_verdict
from storage.store import Batch

CPC = UNITS_PER_CPC
CHAIN = "cpc-devnet-1"


async def test_a_lease_is_a_signed_draw(shop) -> None:
    task = await shop.buy(reward=2 * CPC)
    draw = shop.lease(task.task_id)
    check_draw(draw, CHAIN)
    record = shop.record(task.task_id)
    assert (record.phase, record.epoch, record.draw) == ("leased", 1, draw)
    assert {seat.address for seat in draw.seats} == {one.address for one in shop.validators}
    assert (draw.needed, draw.reward, draw.parameters) == (2, 2 * CPC, record.parameters)
    assert record.orchestrator in {one.peer_id for one in shop.candidates}
    assert draw.expires_ms == record.lease_until_ms
    with pytest.raises(Conflict):
        shop.lifecycle.lease(record, shop.candidates)


async def test_too_few_validators_leave_the_task_queued(shop) -> None:
    task = await shop.buy()
    record = shop.record(task.task_id)
    assert shop.lifecycle.lease(record, shop.candidates[:1]) is None
    assert shop.record(task.task_id) == record
    two = shop.lifecycle.lease(record, shop.candidates[:2])
    assert len(two.seats) == 2


async def test_who_is_full_checks_and_does_not_orchestrate(shop) -> None:
    for _ in range(6):
        task = await shop.buy()
        full = [one.peer_id for one in shop.candidates[:2]]
        draw = shop.lifecycle.lease(shop.record(task.task_id), shop.candidates, full)
        assert draw.seats[0].key == shop.candidates[2].key
        assert len(draw.seats) == 3
    everybody = [one.peer_id for one in shop.candidates]
    task = await shop.buy()
    assert shop.lifecycle.lease(shop.record(task.task_id), shop.candidates, everybody) is None


async def test_a_lease_lasts_as_long_as_the_work_may_take(shop) -> None:
    small = await shop.leased()
    assert small.expires_ms - shop.now_ms == pytest.approx(20_000, abs=10)
    payload = {"seed": "s", "matrix_size": 4096, "iterations": 8}
    large = await shop.leased(payload=payload)
    work_s, trace_mib = 240 * 8 * 4096**3 / 1e12, 128
    assert large.expires_ms - shop.now_ms == pytest.approx(
        (20 + work_s + trace_mib / 2) * 1000, abs=10
    )
    near = await shop.leased(payload=payload, deadline_s=shop.now_ms // 1000 + 9)
    assert near.expires_ms == (shop.now_ms // 1000 + 9) * 1000


async def test_epochs_until_the_last_then_the_money_back(shop) -> None:
    task = await shop.buy()
    orchestrators = []
    for epoch in range(1, 6):
        draw = shop.lease(task.task_id)
        assert draw.epoch == epoch
        orchestrators.append(shop.record(task.task_id).orchestrator)
        shop.lifecycle.release(task.task_id, epoch - 1, "of the epoch before")
        assert shop.record(task.task_id).phase == "leased"
        shop.lifecycle.release(task.task_id, epoch, "went wrong")
    record = shop.record(task.task_id)
    assert (record.phase, record.error_code) == ("refunded", "no_valid_result")
    assert record.error_text == "went wrong"
    assert set(orchestrators[:3]) == {one.peer_id for one in shop.candidates}
    assert shop.balances(shop.customer) == (100 * CPC, 0)


async def test_a_refused_lease_is_no_failure(shop) -> None:
    task = await shop.buy()
    for epoch in range(1, 21):
        assert shop.lease(task.task_id).epoch == epoch
        shop.lifecycle.release(task.task_id, epoch, "busy", begun=False)
    assert shop.record(task.task_id).phase == "queued"
    assert shop.record(task.task_id).failed_orchestrators == ()
    for _ in range(4):
        shop.lifecycle.release(task.task_id, shop.lease(task.task_id).epoch, "failed")
    shop.lifecycle.release(task.task_id, shop.lease(task.task_id).epoch, "busy", begun=False)
    assert len(shop.record(task.task_id).failed_orchestrators) == 4
    draw = shop.lease(task.task_id)
    assert shop.complete(shop.report(draw)).phase == "verified"


async def test_what_is_overdue_ends(shop) -> None:
    deadline_s = shop.now_ms // 1000 + 100
    queued = await shop.buy(deadline_s=deadline_s)
    leased = await shop.leased(deadline_s=deadline_s)
    done = await shop.leased(deadline_s=deadline_s)
    shop.complete(shop.report(done))
    shop.lifecycle.expire()
    assert shop.record(leased.task_id).phase == "leased"
    shop.now_ms += 20_001
    shop.lifecycle.expire()
    record = shop.record(leased.task_id)
    assert (record.phase, len(record.failed_orchestrators)) == ("queued", 1)
    shop.now_ms = deadline_s * 1000 - 1000
    assert shop.lifecycle.is_in_time(record)
    shop.now_ms += 1
    assert not shop.lifecycle.is_in_time(record)
    shop.now_ms = deadline_s * 1000
    shop.lifecycle.expire()
    for task_id in (queued.task_id, leased.task_id):
        assert shop.record(task_id).error_code == "deadline_exceeded"
    assert shop.record(done.task_id).phase == "verified"
    assert shop.balances(shop.customer) == (99 * CPC, 0)


async def test_a_valid_result_is_paid(shop) -> None:
    draw = await shop.leased(reward=10 * CPC)
    report = shop.report(draw, ("valid", "valid", "valid"))
    assert shop.complete(report).phase == "verified"
    holdings = dict(shop.ledger.holdings())
    assert holdings[f"worker:{shop.worker.address}"] == 25 * CPC // 10
    validators = {name: held for name, held in holdings.items() if name.startswith("validator:")}
    assert len(validators) == 3
    orchestrator = f"validator:{draw.seats[0].address}"
    shares = Counter(held * 4 // (CPC - 10**9) for held in validators.values())
    assert shares == {1: 2, 2: 1}
    assert validators[orchestrator] == max(validators.values())
    assert f"reserved:{draw.task_id}" not in holdings
    assert shop.balances(shop.customer) == (90 * CPC, 0)
    assert shop.ledger.audit().ok


async def test_only_valid_verdicts_are_kept_and_paid(shop) -> None:
    draw = await shop.leased()
    shop.complete(shop.report(draw, ("valid", "invalid", "valid")))
    outcome = shop.board.outcome(draw.task_id)
    assert [verdict.finding for verdict in outcome.verdicts] == ["valid", "valid"]
    liar = f"validator:{shop.validators[1].address}"
    if draw.seats[0].address != shop.validators[1].address:
        assert shop.ledger.balance(liar) == 0


async def test_a_repeated_report_is_answered_the_same_and_pays_nothing(shop) -> None:
    draw = await shop.leased()
    report = shop.report(draw)
    done = shop.complete(report)
    entries = shop.ledger.next_sequence(Batch())
    assert shop.complete(report) == done
    assert shop.complete(report, shop.candidates[0].peer_id) == done
    shop.reload()
    assert shop.complete(report).phase == "verified"
    assert shop.ledger.next_sequence(Batch()) == entries


async def test_another_result_after_the_first_is_superseded(shop) -> None:
    draw = await shop.leased()
    first, second = shop.report(draw), shop.report(draw, attempt=2)
    shop.complete(first)
    with pytest.raises(Conflict):
        shop.complete(second)


def twice(shop, draw, report):
    return msgspec.structs.replace(report, verdicts=(report.verdicts[0], *report.verdicts))


def one(shop, draw, report):
    return msgspec.structs.replace(report, verdicts=report.verdicts[:1])


def none(shop, draw, report):
    return msgspec.structs.replace(report, verdicts=())


def strangers(shop, draw, report):
    verdict = shop.verdict(draw, report, shop.stranger)
    return msgspec.structs.replace(report, verdicts=(report.verdicts[0], verdict))


def unsigned(shop, draw, report):
    last = msgspec.structs.replace(report.verdicts[1], signature=bytes(64))
    return msgspec.structs.replace(report, verdicts=(report.verdicts[0], last))


def about_another_attempt(shop, draw, report):
    other = shop.report(draw, attempt=2)
    return msgspec.structs.replace(report, verdicts=other.verdicts)


def about_another_epoch(shop, draw, report):
    verdicts = []
    for verdict, validator in zip(report.verdicts, shop.validators, strict=False):
        earlier = msgspec.structs.replace(verdict, epoch=draw.epoch - 1)
        verdicts.append(sign_verdict(earlier, CHAIN, validator.identity))
    return msgspec.structs.replace(report, verdicts=tuple(verdicts))


def another_manifest(shop, draw, report):
    return msgspec.structs.replace(report, manifest=shop.manifest(draw, b"other"))


def another_worker(shop, draw, report):
    result = msgspec.structs.replace(report.result, worker_address=shop.stranger.address)
    return msgspec.structs.replace(report, result=result)


def unsigned_result(shop, draw, report):
    result = msgspec.structs.replace(report.result, signature="00" * 64)
    return msgspec.structs.replace(report, result=result)


def attempt_of_another_epoch(shop, draw, report):
    return shop.report(draw, attempt=6)


def found_invalid(shop, draw, report):
    return shop.report(draw, ("invalid", "invalid", "valid"))


def undecided(shop, draw, report):
    return shop.report(draw, ("valid", "invalid"))


@pytest.mark.parametrize(
    "spoil",
    [
        twice,
        one,
        none,
        strangers,
        unsigned,
        about_another_attempt,
        about_another_epoch,
        another_manifest,
        another_worker,
        unsigned_result,
        attempt_of_another_epoch,
        found_invalid,
        undecided,
    ],
)
async def test_a_bad_report_changes_nothing(shop, spoil) -> None:
    draw = await shop.leased()
    before, entries = shop.record(draw.task_id), shop.ledger.next_sequence(Batch())
    with pytest.raises(StatementInvalid):
        shop.complete(spoil(shop, draw, shop.report(draw)))
    assert shop.record(draw.task_id) == before
    assert shop.ledger.next_sequence(Batch()) == entries
    assert shop.board.outcome(draw.task_id) is None
    assert shop.complete(shop.report(draw)).phase == "verified"


async def test_reports_by_the_wrong_orchestrator_or_of_an_old_epoch(shop) -> None:
    draw = await shop.leased()
    report, holder = shop.report(draw), shop.record(draw.task_id).orchestrator
    for other in (one.peer_id for one in shop.candidates if one.peer_id != holder):
        with pytest.raises(Conflict, match="superseded"):
            shop.complete(report, other)
    shop.lifecycle.release(draw.task_id, 1, "lost")
    with pytest.raises(Conflict):
        shop.complete(report, holder)
    later = shop.lease(draw.task_id)
    with pytest.raises(Conflict, match="superseded"):
        shop.complete(report, shop.record(draw.task_id).orchestrator)
    assert shop.complete(shop.report(later)).epoch == 2


async def test_a_report_judged_before_its_lease_was_lost_is_not_paid(shop) -> None:
    """Between judging and completing the outputs are fetched, and the lease may run out."""
    draw = await shop.leased()
    holder = shop.record(draw.task_id).orchestrator
    outcome = shop.lifecycle.judge(shop.report(draw), holder)
    shop.lifecycle.release(draw.task_id, 1, "lost")
    with pytest.raises(Conflict):
        shop.lifecycle.complete(outcome, holder)
    shop.lease(draw.task_id)
    with pytest.raises(Conflict):
        shop.lifecycle.complete(outcome, holder)
    assert shop.balances(shop.customer) == (99 * CPC, CPC)


async def test_a_task_that_nobody_knows(shop) -> None:
    draw = await shop.leased()
    strange = msgspec.structs.replace(draw, task_id="550e8400-e29b-41d4-a716-446655440000")
    with pytest.raises(NotFound):
        shop.lifecycle.judge(shop.report(strange), "anybody")
    shop.lifecycle.release(draw.task_id, 7, "of no epoch")
    assert shop.record(draw.task_id).phase == "leased"


async def test_a_payment_that_cannot_be_made_changes_nothing(shop) -> None:
    """A seat with an address that nobody can own: the index must not run ahead of the records."""
    task = await shop.buy()
    bad = [Candidate(one.peer_id, one.key, "cpc1nobody") for one in shop.candidates]
    draw = shop.lifecycle.lease(shop.record(task.task_id), bad)
    with pytest.raises(BadAddress):
        shop.complete(shop.report(draw))
    assert shop.record(task.task_id).phase == "leased"
    assert [one.task_id for one in shop.board.leased_tasks()] == [task.task_id]
    assert shop.balances(shop.customer) == (99 * CPC, CPC)


async def test_anchoring(shop) -> None:
    draw = await shop.leased()
    report = shop.report(draw)
    shop.complete(report)
    leaf = leaf_of(report.result, CHAIN)
    batch = Batch()
    for task_id, other in (
        (draw.task_id, bytes(32)),
        ((await shop.leased()).task_id, leaf),
        ("550e8400-e29b-41d4-a716-446655440000", leaf),
    ):
        assert not shop.lifecycle.anchor(batch, task_id, "batch", 3, other)
    assert not batch.changes
    assert shop.lifecycle.anchor(batch, draw.task_id, "batch", 3, leaf)
    shop.db.stage(batch)
    outcome = shop.board.outcome(draw.task_id)
    assert (outcome.batch, outcome.index) == ("batch", 3)
    assert shop.record(draw.task_id).phase == "anchored"
    assert not shop.lifecycle.anchor(Batch(), draw.task_id, "another", 0, leaf)
