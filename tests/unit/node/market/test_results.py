"""Results, pay and places on the chain, whatever is reported and whoever reports it."""

from collections import Counter

import msgspec
import pytest

from node.amounts import UNITS_PER_CPC
from node.errors import Conflict, NotFound
from node.l1.errors import BadAddress
from node.market.judging import MAX_EARLIER
from node.market.results import PAID_AT_ONCE
from node.verification.batches import leaf_of
from node.verification.claims import StatementInvalid
from node.verification.draws import sign_draw
from node.verification.statements import sign_verdict
from storage.store import Batch

CPC = UNITS_PER_CPC
CHAIN = "cpc-devnet-1"
WINDOW_MS = 5_000
CHECKS = (CPC - 10**9) - (CPC - 10**9) // 4
"""Units that the checks of a task of 10 CPC share."""


async def test_a_valid_result_is_paid_when_its_window_is_over(shop) -> None:
    draw = await shop.leased(reward=10 * CPC)
    done = shop.complete(shop.report(draw, ("valid", "valid", "valid")))
    assert (done.phase, done.pay_due_ms) == ("verified", shop.now_ms + WINDOW_MS)
    assert shop.ledger.balance(f"maturing:{draw.task_id}") == 10 * CPC
    assert f"reserved:{draw.task_id}" not in dict(shop.ledger.holdings())
    assert shop.earned() == {}
    await shop.pass_time(WINDOW_MS - 1)
    assert shop.earned() == {}
    await shop.pass_time(1)
    earned = shop.earned()
    assert earned.pop(f"worker:{shop.worker.address}") == 25 * CPC // 10
    orchestrated = (CPC - 10**9) // 4
    assert earned == {
        f"validator:{seat.address}": CHECKS // 3 + (orchestrated if seat is draw.seats[0] else 0)
        for seat in draw.seats
    }
    assert shop.balances(shop.customer) == (90 * CPC, 0)
    record = shop.record(draw.task_id)
    assert (record.phase, record.paid) == ("verified", True)
    await shop.pass_time(WINDOW_MS)
    assert shop.ledger.audit().ok


async def test_every_signed_check_is_paid_whatever_it_says(shop) -> None:
    draw = await shop.leased(reward=10 * CPC)
    report = shop.report(draw, ("valid", "invalid", "valid"))
    shop.complete(report)
    await shop.pass_time(WINDOW_MS)
    earned = shop.earned()
    assert all(earned[f"validator:{seat.address}"] >= CHECKS // 3 for seat in draw.seats)


async def test_checks_of_all_attempts_and_epochs_are_paid(shop) -> None:
    """Two of three checked a bad attempt in epoch 1, all checked one in 2, two the good one."""
    draw = await shop.leased(reward=10 * CPC)
    first = shop.judgement(draw, ("invalid", "invalid"))
    shop.fail(draw, first)
    later = shop.lease(draw.task_id)
    second = shop.judgement(later, ("withheld", "withheld", "inconclusive"), attempt=1)
    shop.complete(shop.report(later, attempt=2, earlier=[second]))
    checks = Counter(
        verdict.validator_key
        for one in (first, second, shop.judgement(later, attempt=2))
        for verdict in one.verdicts
    )
    assert sum(checks.values()) == 7
    await shop.pass_time(WINDOW_MS)
    orchestrated = (CPC - 10**9) // 4
    for seat in later.seats:
        share = CHECKS * checks[seat.key] // 7 + (orchestrated if seat is later.seats[0] else 0)
        assert shop.ledger.balance(f"validator:{seat.address}") == share
    assert shop.ledger.audit().ok


async def test_whoever_was_replaced_earns_nothing(shop) -> None:
    shop.see(*shop.everybody)
    draw = await shop.leased()
    silent = draw.seats[1]
    again = shop.redraw(draw, shop.passed(draw, 1, "no_reveal"))
    shop.complete(shop.report(again, ("valid", "valid", "valid")))
    await shop.pass_time(WINDOW_MS)
    assert shop.ledger.balance(f"validator:{silent.address}") == 0
    assert len([name for name in shop.earned() if name.startswith("validator:")]) == 3


async def test_earlier_attempts_are_kept_over_restarts_and_bounded(shop, monkeypatch) -> None:
    monkeypatch.setattr("node.market.results.MAX_EARLIER", 3)
    draw = await shop.leased(reward=10 * CPC)
    shop.fail(draw, *(shop.judgement(draw, ("invalid",), attempt=n) for n in (1, 2)))
    shop.reload()
    later = shop.lease(draw.task_id)
    more = [shop.judgement(later, ("invalid",), attempt=n) for n in (1, 2)]
    shop.complete(shop.report(later, attempt=3, earlier=more))
    await shop.pass_time(WINDOW_MS)
    orchestrated = (CPC - 10**9) // 4
    checks = [draw.seats[0].address] * 2 + [later.seats[0].address] * 2 + [later.seats[1].address]
    for address, count in Counter(checks).items():
        share = CHECKS * count // 5
        share += orchestrated if address == later.seats[0].address else 0
        assert shop.ledger.balance(f"validator:{address}") == share
    assert MAX_EARLIER == 64


async def test_many_jobs_are_paid_by_their_work(shop) -> None:
    draw = await shop.leased(reward=10 * CPC, chains=3)
    shop.complete(shop.report(draw))
    view = shop.service.task(draw.task_id)
    assert [(one.address, one.jobs) for one in view.result.workers] == [
        (shop.worker.address, 2),
        (shop.second_worker.address, 1),
    ]
    assert view.result.worker_address == shop.worker.address
    assert [one.name for one in view.result.outputs] == ["0-matrix", "1-matrix", "2-matrix"]
    await shop.pass_time(WINDOW_MS)
    workers = 25 * CPC // 10
    assert shop.ledger.balance(f"worker:{shop.worker.address}") == workers * 2 // 3
    assert shop.ledger.balance(f"worker:{shop.second_worker.address}") == workers // 3


async def test_jobs_may_be_judged_under_different_draws_of_the_epoch(shop) -> None:
    shop.see(*shop.everybody)
    draw = await shop.leased(chains=2)
    first = shop.judgement(draw, job=0)
    again = shop.redraw(draw, shop.passed(draw, 1, "no_reveal"))
    report = shop.report(again)
    mixed = msgspec.structs.replace(report, jobs=(first, report.jobs[1]))
    assert shop.complete(mixed).phase == "verified"


async def test_a_repeated_report_is_answered_the_same_and_pays_nothing(shop) -> None:
    draw = await shop.leased()
    report = shop.report(draw)
    done = shop.complete(report)
    entries = shop.ledger.next_sequence(Batch())
    assert shop.complete(report) == done
    assert shop.complete(report, shop.stranger.identity.peer_id) == done
    shop.reload()
    assert shop.complete(report).phase == "verified"
    assert shop.ledger.next_sequence(Batch()) == entries
    await shop.pass_time(WINDOW_MS)
    entries = shop.ledger.next_sequence(Batch())
    assert shop.complete(report).paid
    assert shop.ledger.next_sequence(Batch()) == entries


async def test_another_result_after_the_first_is_superseded(shop) -> None:
    draw = await shop.leased()
    first, second = shop.report(draw), shop.report(draw, attempt=2)
    shop.complete(first)
    with pytest.raises(Conflict):
        shop.complete(second)
    with pytest.raises(Conflict):
        shop.fail(draw)


def with_job(report, **changes):
    job = msgspec.structs.replace(report.jobs[0], **changes)
    return msgspec.structs.replace(report, jobs=(job, *report.jobs[1:]))


def twice(shop, draw, report):
    verdicts = report.jobs[0].verdicts
    return with_job(report, verdicts=(verdicts[0], *verdicts))


def one(shop, draw, report):
    return with_job(report, verdicts=report.jobs[0].verdicts[:1])


def none(shop, draw, report):
    return with_job(report, verdicts=())


def strangers(shop, draw, report):
    verdict = shop.verdict(report.jobs[0], shop.stranger)
    return with_job(report, verdicts=(report.jobs[0].verdicts[0], verdict))


def unsigned(shop, draw, report):
    first, last = report.jobs[0].verdicts
    return with_job(report, verdicts=(first, msgspec.structs.replace(last, signature=bytes(64))))


def about_another_attempt(shop, draw, report):
    return with_job(report, verdicts=shop.judgement(draw, attempt=2).verdicts)


def about_another_epoch(shop, draw, report):
    verdicts = []
    for verdict, validator in zip(report.jobs[0].verdicts, shop.seated(draw), strict=False):
        earlier = msgspec.structs.replace(verdict, epoch=draw.epoch - 1)
        verdicts.append(sign_verdict(earlier, CHAIN, validator.identity))
    return with_job(report, verdicts=tuple(verdicts))


def another_manifest(shop, draw, report):
    return with_job(report, manifest=shop.manifest(draw, b"other"))


def another_worker(shop, draw, report):
    result = msgspec.structs.replace(
        report.jobs[0].result, worker_address=shop.second_worker.address
    )
    return with_job(report, result=result)


def unsigned_result(shop, draw, report):
    return with_job(
        report, result=msgspec.structs.replace(report.jobs[0].result, signature="00" * 64)
    )


def attempt_of_another_epoch(shop, draw, report):
    return shop.report(draw, attempt=6)


def found_invalid(shop, draw, report):
    return shop.report(draw, ("invalid", "invalid", "valid"))


def undecided(shop, draw, report):
    return shop.report(draw, ("valid", "invalid"))


def no_jobs(shop, draw, report):
    return msgspec.structs.replace(report, jobs=())


def one_job_short(shop, draw, report):
    return msgspec.structs.replace(report, jobs=report.jobs[:-1])


def one_job_more(shop, draw, report):
    more = shop.judgement(draw, job=len(report.jobs))
    return msgspec.structs.replace(report, jobs=(*report.jobs, more))


def one_job_twice(shop, draw, report):
    return msgspec.structs.replace(report, jobs=(report.jobs[0],) * len(report.jobs))


def jobs_turned(shop, draw, report):
    return msgspec.structs.replace(report, jobs=report.jobs[::-1])


def with_draw(shop, report, signer, **changes):
    draw = sign_draw(msgspec.structs.replace(report.jobs[0].draw, **changes), CHAIN, signer)
    return with_job(report, draw=draw)


def draw_of_another_market(shop, draw, report):
    return with_draw(shop, report, shop.stranger.identity)


def draw_of_another_epoch(shop, draw, report):
    return with_draw(shop, report, shop.market.identity, epoch=2)


def draw_that_nobody_signed(shop, draw, report):
    return with_job(report, draw=msgspec.structs.replace(draw, needed=1))


def earlier_is_forged(shop, draw, report):
    bad = shop.judgement(draw, ("invalid", "invalid"), attempt=2)
    forged = msgspec.structs.replace(bad, manifest=shop.manifest(draw, b"other"))
    return msgspec.structs.replace(report, earlier=(forged,))


def earlier_stands_twice(shop, draw, report):
    bad = shop.judgement(draw, ("invalid", "invalid"), attempt=2)
    return msgspec.structs.replace(report, earlier=(bad, bad))


def earlier_is_the_result_itself(shop, draw, report):
    return msgspec.structs.replace(report, earlier=report.jobs)


@pytest.mark.parametrize("chains", [1, 2])
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
        no_jobs,
        one_job_short,
        one_job_more,
        draw_of_another_market,
        draw_of_another_epoch,
        draw_that_nobody_signed,
        earlier_is_forged,
        earlier_stands_twice,
        earlier_is_the_result_itself,
    ],
)
async def test_a_bad_report_changes_nothing(shop, spoil, chains: int) -> None:
    await refuses(shop, await shop.leased(chains=chains), spoil)


@pytest.mark.parametrize("spoil", [one_job_twice, jobs_turned])
async def test_jobs_stand_once_and_in_order(shop, spoil) -> None:
    await refuses(shop, await shop.leased(chains=2), spoil)


async def refuses(shop, draw, spoil) -> None:
    before, entries = shop.record(draw.task_id), shop.ledger.next_sequence(Batch())
    with pytest.raises(StatementInvalid):
        shop.complete(spoil(shop, draw, shop.report(draw)))
    assert shop.record(draw.task_id) == before
    assert shop.ledger.next_sequence(Batch()) == entries
    assert shop.board.outcome(draw.task_id) is None
    assert shop.complete(shop.report(draw)).phase == "verified"


async def test_a_forged_attempt_makes_no_failure(shop) -> None:
    """The lease stays, and runs out by itself."""
    draw = await shop.leased()
    forged = msgspec.structs.replace(shop.judgement(draw), manifest=shop.manifest(draw, b"other"))
    with pytest.raises(StatementInvalid):
        shop.fail(draw, forged)
    assert shop.record(draw.task_id).phase == "leased"
    shop.fail(draw)
    record = shop.record(draw.task_id)
    assert (record.phase, record.error_text) == ("queued", "no luck")
    with pytest.raises(Conflict):
        shop.fail(draw)


async def test_reports_by_the_wrong_orchestrator_or_of_an_old_epoch(shop) -> None:
    draw = await shop.leased()
    report, holder = shop.report(draw), shop.holder(draw)
    for other in shop.seated(draw)[1:]:
        with pytest.raises(Conflict, match="superseded"):
            shop.complete(report, other.identity.peer_id)
    shop.leases.release(draw.task_id, 1, "lost")
    with pytest.raises(Conflict):
        shop.complete(report, holder)
    later = shop.lease(draw.task_id)
    with pytest.raises(Conflict, match="superseded"):
        shop.complete(report, shop.holder(later))
    renamed = msgspec.structs.replace(report, epoch=2)
    with pytest.raises(StatementInvalid, match="superseded"):
        shop.complete(renamed, shop.holder(later))
    assert shop.complete(shop.report(later)).epoch == 2


async def test_a_report_judged_before_its_lease_was_lost_is_not_paid(shop) -> None:
    """Between judging and completing the outputs are fetched, and the lease may run out."""
    draw = await shop.leased()
    judged = shop.results.judge(shop.report(draw), shop.holder(draw))
    shop.leases.release(draw.task_id, 1, "lost")
    with pytest.raises(Conflict):
        shop.results.complete(judged)
    shop.lease(draw.task_id)
    with pytest.raises(Conflict):
        shop.results.complete(judged)
    assert shop.balances(shop.customer) == (99 * CPC, CPC)


async def test_a_task_that_nobody_knows(shop) -> None:
    draw = await shop.leased()
    report = shop.report(draw)
    strange = msgspec.structs.replace(report, task_id="550e8400-e29b-41d4-a716-446655440000")
    with pytest.raises(NotFound):
        shop.results.judge(strange, "anybody")
    shop.leases.release(draw.task_id, 7, "of no epoch")
    assert shop.record(draw.task_id).phase == "leased"


async def test_a_payment_that_cannot_be_made_changes_nothing(shop) -> None:
    """A seat with an address that nobody can own: the index must not run ahead of the records."""
    task = await shop.buy()
    bad = [
        msgspec.structs.replace(one, address="cpc1nobody")
        for one in shop.snapshots.newest.candidates
    ]
    shop.snapshots.take(bad)
    draw = shop.lease(task.task_id)
    with pytest.raises(BadAddress):
        shop.complete(shop.report(draw))
    assert shop.record(task.task_id).phase == "leased"
    assert [one.task_id for one in shop.board.leased_tasks()] == [task.task_id]
    assert shop.balances(shop.customer) == (99 * CPC, CPC)


async def test_anchoring(shop) -> None:
    draw, other = await shop.leased(), await shop.leased()
    shop.complete(shop.report(draw))
    result = shop.board.outcome(draw.task_id).results[0]
    batch = Batch()
    leaves = [bytes(32), leaf_of(result, CHAIN), leaf_of(result, CHAIN)]
    owners = [draw.task_id, other.task_id, "550e8400-e29b-41d4-a716-446655440000"]
    assert shop.results.anchor(batch, "batch", owners, leaves) == []
    assert not batch.changes
    assert shop.anchor(draw.task_id) == [draw.task_id]
    job = shop.board.outcome(draw.task_id).jobs[0]
    assert (job.batch, job.index) == ("batch", 0)
    assert shop.record(draw.task_id).phase == "anchored"
    assert shop.anchor(draw.task_id, name="another") == []


async def test_a_task_is_anchored_when_all_its_jobs_are(shop) -> None:
    draw = await shop.leased(chains=3)
    shop.complete(shop.report(draw))
    shop.anchor(draw.task_id, name="first", jobs=slice(1, 3))
    assert shop.record(draw.task_id).phase == "verified"
    shop.reload()
    shop.anchor(draw.task_id, name="second")
    assert shop.record(draw.task_id).phase == "anchored"
    jobs = shop.board.outcome(draw.task_id).jobs
    assert [(job.batch, job.index) for job in jobs] == [
        ("second", 0),
        ("first", 0),
        ("first", 1),
    ]


async def test_settled_is_anchored_and_paid_in_either_order(shop) -> None:
    first, second = await shop.leased(), await shop.leased()
    for draw in (first, second):
        shop.complete(shop.report(draw))
    shop.anchor(first.task_id)
    await shop.pass_time(WINDOW_MS)
    phases = [shop.record(draw.task_id).phase for draw in (first, second)]
    assert phases == ["settled", "verified"]
    shop.reload()
    shop.anchor(second.task_id)
    assert shop.record(second.task_id).phase == "settled"
    assert shop.service.task(second.task_id).status == "completed"


async def test_pay_survives_restarts_and_is_paid_once(shop) -> None:
    draw = await shop.leased()
    shop.complete(shop.report(draw))
    shop.reload()
    await shop.pass_time(WINDOW_MS)
    earned, entries = shop.earned(), shop.ledger.next_sequence(Batch())
    assert earned
    for _ in range(2):
        shop.reload()
        await shop.pass_time(10 * WINDOW_MS)
    assert (shop.earned(), shop.ledger.next_sequence(Batch())) == (earned, entries)


async def test_more_pay_than_one_round_takes(shop, monkeypatch) -> None:
    monkeypatch.setattr("node.market.results.PAID_AT_ONCE", 2)
    monkeypatch.setattr("node.market.lifecycle.PAID_AT_ONCE", 2)
    draws = [await shop.leased() for _ in range(5)]
    for draw in draws:
        shop.complete(shop.report(draw))
    await shop.pass_time(WINDOW_MS)
    assert all(shop.record(draw.task_id).paid for draw in draws)
    assert PAID_AT_ONCE == 64
