"""Seats of a jury that become empty: who gets them, who keeps them, and what is seen of it."""

from typing import Any

import msgspec
import pytest

from node.verification.claims import StatementInvalid
from node.verification.draws import Refusal, sign_refusal
from node.verification.juries import MAX_REPLACED, check_jurors, check_jury

CHAIN = "cpc-devnet-1"
FALSE = b"f" * 32
JURY_MS = 40_000


@pytest.fixture
def court(shop):
    """The shop with nine more validators, whom only the snapshot after the lease has."""
    return shop


async def disputed(court) -> str:
    draw = await court.leased()
    court.complete(court.report(draw))
    court.see(*court.everybody)
    court.desk.open(draw.task_id, court.customer, "why")
    return draw.task_id


def state(court, task_id: str) -> tuple[str, str | None]:
    return court.record(task_id).phase, court.desk.book.find(task_id).outcome


def refusal_of(court, task_id: str, juror: Any, **changes: object) -> Refusal:
    plain = Refusal(task_id, 1, "rule", "busy", court.now_ms, b"")
    return sign_refusal(msgspec.structs.replace(plain, **changes), CHAIN, juror.identity)


def passed_over(court, task_id: str, juror: Any, reason: str = "unreachable", *more: Any) -> Any:
    seat = court.desk.pass_over(task_id, juror.identity.public_key, reason, *more)
    return None if seat is None else court.member(seat)


async def test_a_silent_juror_s_seat_goes_to_the_next(court) -> None:
    """The others' rulings stay; its own comes too late to count, or to be paid."""
    task_id = await disputed(court)
    first, second, third = court.jurors(task_id)
    court.desk.take(task_id, court.ruling(task_id, first))
    successor = passed_over(court, task_id, second)
    appeal = court.desk.book.find(task_id)
    check_jury(appeal.jury, CHAIN)
    check_jurors(appeal.jury, court.snapshots.find(appeal.jury.snapshot), 3, CHAIN)
    assert [one.address for one in court.jurors(task_id)] == [
        one.address for one in (first, third, successor)
    ]
    [passed] = appeal.jury.passed
    assert (passed.key, passed.reason) == (second.identity.public_key, "unreachable")
    assert [one.reason for one in court.service.task(task_id).appeal.passed] == ["unreachable"]
    court.desk.take(task_id, court.ruling(task_id, second))
    assert len(court.desk.book.find(task_id).rulings) == 1
    court.reload()
    court.desk.take(task_id, court.ruling(task_id, successor))
    await court.pass_time(JURY_MS)
    assert state(court, task_id) == ("verified", "upheld")
    paid = {
        one.address for one in court.everybody if court.earned().get(f"validator:{one.address}")
    }
    assert {first.address, successor.address} <= paid
    assert second.address not in paid


async def test_whoever_says_no_by_its_own_word_loses_the_seat_at_once(court) -> None:
    task_id = await disputed(court)
    juror, other, _ = court.jurors(task_id)
    for wrong in (
        refusal_of(court, task_id, other),
        refusal_of(court, "another", juror),
        refusal_of(court, task_id, juror, duty="check"),
        refusal_of(court, task_id, juror, epoch=2),
        msgspec.structs.replace(refusal_of(court, task_id, juror), signature=bytes(64)),
    ):
        with pytest.raises(StatementInvalid):
            passed_over(court, task_id, juror, "refused", wrong)
    with pytest.raises(StatementInvalid):
        passed_over(court, task_id, juror, "refused")
    assert not court.desk.book.find(task_id).jury.passed
    said = refusal_of(court, task_id, juror)
    assert passed_over(court, task_id, juror, "refused", said) is not None
    assert court.desk.book.find(task_id).jury.passed[0].refusal == said


async def test_who_keeps_the_seat(court) -> None:
    """Who has ruled, who never had it, and everybody once enough have computed the same."""
    task_id = await disputed(court)
    first, second, third = court.jurors(task_id)
    court.desk.take(task_id, court.ruling(task_id, first))
    for one in (first, court.stranger, court.validators[0]):
        assert passed_over(court, task_id, one) is None
    assert passed_over(court, task_id, second) is not None
    assert passed_over(court, task_id, second) is None
    court.desk.take(task_id, court.ruling(task_id, court.jurors(task_id)[-1]))
    assert passed_over(court, task_id, third) is None
    await court.pass_time(JURY_MS)
    assert passed_over(court, task_id, third) is None
    assert len(court.desk.book.find(task_id).jury.passed) == 1


async def test_with_nobody_left_the_seats_stay(court) -> None:
    """Nine strangers: three sit, six can follow, and no more."""
    task_id = await disputed(court)
    successors = [passed_over(court, task_id, court.jurors(task_id)[0]) for _ in range(6)]
    assert len({one.address for one in successors}) == 6
    before = court.desk.book.find(task_id).jury
    assert passed_over(court, task_id, court.jurors(task_id)[0]) is None
    assert court.desk.book.find(task_id).jury == before
    assert (len(before.seats), len(before.passed)) == (3, 6)
    for one in court.jurors(task_id):
        court.desk.take(task_id, court.ruling(task_id, one, FALSE))
    assert state(court, task_id) == ("overturned", "overturned")


async def test_only_so_many_are_passed_over(court, monkeypatch) -> None:
    monkeypatch.setattr("node.market.juries.MAX_REPLACED", 2)
    assert MAX_REPLACED > 2
    task_id = await disputed(court)
    for is_replaced in (True, True, False):
        juror = court.jurors(task_id)[0]
        assert (passed_over(court, task_id, juror) is not None) == is_replaced


async def test_who_comes_later_cannot_get_into_a_jury(court) -> None:
    """Its seats follow from the snapshot of the appeal, whose block nobody knew before."""
    task_id = await disputed(court)
    named = court.desk.book.find(task_id).jury.snapshot
    court.see(*court.validators)
    assert passed_over(court, task_id, court.jurors(task_id)[0]) is not None
    assert court.desk.book.find(task_id).jury.snapshot == named


async def test_the_operator_of_the_market_judges_nothing(court) -> None:
    """Its money may be what the task was bought with."""
    lender = court.everybody[5]
    court.desk._juries._operator = lender.address
    task_id = await disputed(court)
    jury = court.desk.book.find(task_id).jury
    judges = {one.identity.public_key for one in court.validators}
    assert set(jury.excluded) == judges | {lender.identity.public_key}
