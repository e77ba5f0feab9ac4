"""Appeals at a market: who may, who judges, and what each outcome does to task, money and seats."""

from collections.abc import Callable
from typing import Any

import pytest

from node.amounts import UNITS_PER_CPC
from node.errors import Conflict, InsufficientFunds, InvalidInput, NotAllowed, NotFound
from node.market.appealbook import AppealBook
from node.market.appeals import LEAST_GRACE_MS
from node.market.juries import NoJury
from node.market.views import MAX_REASON
from node.settlement import accounts
from node.verification.claims import StatementInvalid
from storage.database import open_database
from storage.memory import MemoryStore
from storage.store import Batch

CPC = UNITS_PER_CPC
FALSE = b"f" * 32
FEE = 3 * (CPC // 1000 + 8_192 * 10_000)
JURY_MS, WINDOW_MS = 40_000, 5_000


@pytest.fixture
def court(shop):
    """The shop with nine more validators, whom only the snapshot after the lease has."""
    return shop


async def completed(court, **changes: object) -> str:
    draw = await court.leased(**changes)
    court.complete(court.report(draw))
    court.see(*court.everybody)
    return draw.task_id


async def disputed(court, **changes: object) -> str:
    task_id = await completed(court, **changes)
    court.desk.open(task_id, court.customer, "why")
    return task_id


def state(court, task_id: str) -> tuple[str, str | None]:
    return court.record(task_id).phase, court.desk.book.find(task_id).outcome


async def test_a_jury_has_nobody_who_had_to_do_with_it(court) -> None:
    task_id = await disputed(court)
    jury = court.desk.book.find(task_id).jury
    assert state(court, task_id) == ("disputed", None)
    assert (len(jury.seats), jury.needed, jury.fee) == (3, 2, FEE)
    assert jury.expires_ms == court.now_ms + JURY_MS
    judges = {one.identity.public_key for one in court.validators}
    assert set(jury.excluded) == judges
    assert not judges & {seat.key for seat in jury.seats}
    named = court.snapshots.newest
    court.see(*court.validators)
    court.see(*court.everybody[:5])
    assert court.snapshots.find(jury.snapshot) == named
    assert court.balances(court.customer) == (99 * CPC - FEE, FEE)


async def test_neither_has_who_was_drawn_before_or_has_an_address_of_theirs(court) -> None:
    """Validators of earlier epochs, those passed over, and who shares an address with a worker."""
    first = await court.leased()
    court.fail(first, court.judgement(first, ["invalid", "invalid"], worker=court.second_worker))
    court.see(*court.everybody)
    draw = court.lease(first.task_id)
    draw = court.redraw(draw, court.passed(draw, 1))
    court.complete(court.report(draw))
    court.desk.open(first.task_id, court.customer, "why")
    jury = court.desk.book.find(first.task_id).jury
    expected = {seat.key for one in (first, draw) for seat in one.seats}
    expected |= {one.key for one in draw.passed}
    assert set(jury.excluded) == expected
    assert len(expected) > 4


async def test_who_may_not_appeal_and_when(court) -> None:
    draw = await court.leased()
    task_id = draw.task_id
    open_ = court.desk.open
    with pytest.raises(NotFound):
        open_("none", court.customer, "why")
    with pytest.raises(Conflict):
        open_(task_id, court.customer, "why")
    court.complete(court.report(draw))
    with pytest.raises(NoJury, match=r"0 validators .* needs 2") as refused:
        open_(task_id, court.customer, "why")
    assert "--validators 6" in refused.value.remedy
    assert court.balances(court.customer) == (99 * CPC, 0)
    court.see(*court.everybody)
    with pytest.raises(NotAllowed):
        open_(task_id, court.other, "why")
    for reason in ("", "x" * (MAX_REASON + 1), "two\nlines", "\x1b[31m"):
        with pytest.raises(InvalidInput):
            open_(task_id, court.customer, reason)
    assert court.desk.book.find(task_id) is None
    court.now_ms += WINDOW_MS
    with pytest.raises(Conflict, match="over"):
        open_(task_id, court.customer, "why")
    court.now_ms -= 1
    open_(task_id, court.customer, "why")
    with pytest.raises(Conflict, match="disputed"):
        open_(task_id, court.customer, "why")


async def test_a_customer_without_the_fee(open_shop) -> None:
    async with open_shop(deposit=CPC) as shop:
        task_id = await completed(shop)
        with pytest.raises(InsufficientFunds):
            shop.desk.open(task_id, shop.customer, "why")
        assert shop.record(task_id).phase == "verified"
        assert not list(shop.desk.book.open())


async def test_the_fee_is_a_whole_jury_s_work(court) -> None:
    """Also told beforehand."""
    quote = court.service.quote("synthetic", {"seed": "s", "matrix_size": 16, "iterations": 2})
    assert quote.appeal_fee == FEE
    many = {"seed": "s", "matrix_size": 16, "iterations": 2, "chains": 5}
    assert court.service.quote("synthetic", many).appeal_fee == 3 * (CPC // 1000 + 5 * 81_920_000)
    task_id = await completed(court)
    assert court.service.task(task_id).result.appeal_fee == FEE


async def test_two_jurors_uphold_and_the_third_has_as_long_again(court) -> None:
    task_id = await disputed(court)
    first, second, third = court.jurors(task_id)
    await court.pass_time(2_000)
    court.desk.take(task_id, court.ruling(task_id, first))
    court.desk.take(task_id, court.ruling(task_id, second))
    court.desk.take(task_id, court.ruling(task_id, second))
    await court.pass_time(1_999)
    assert state(court, task_id) == ("disputed", None)
    court.desk.take(task_id, court.ruling(task_id, third))
    assert state(court, task_id) == ("verified", "upheld")
    paid = [court.ledger.balance(accounts.validator(one.address)) for one in (first, second, third)]
    assert paid == [(FEE - 10**9) // 3] * 3
    await court.pass_time(WINDOW_MS)
    assert court.record(task_id).paid


async def test_a_third_that_is_slower_than_that_is_not_waited_for(court) -> None:
    task_id = await disputed(court)
    first, second, third = court.jurors(task_id)
    await court.pass_time(2_000)
    for one in (first, second):
        court.desk.take(task_id, court.ruling(task_id, one))
    await court.pass_time(2_000)
    assert state(court, task_id) == ("verified", "upheld")
    court.desk.take(task_id, court.ruling(task_id, third))
    assert len(court.desk.book.find(task_id).rulings) == 2
    assert court.ledger.balance(accounts.validator(third.address)) == 0


async def test_a_jury_that_agrees_at_once_waits_a_moment(court) -> None:
    task_id = await disputed(court)
    for one in court.jurors(task_id)[:2]:
        court.desk.take(task_id, court.ruling(task_id, one))
    await court.pass_time(LEAST_GRACE_MS - 1)
    assert state(court, task_id) == ("disputed", None)
    await court.pass_time(1)
    assert state(court, task_id) == ("verified", "upheld")


@pytest.mark.parametrize("said", [(), (FALSE,), (None,), (None, FALSE)])
async def test_the_deadline_ends_it(court, said: tuple[bytes | None, ...]) -> None:
    task_id = await disputed(court)
    for juror, one in zip(court.jurors(task_id), said, strict=False):
        court.desk.take(task_id, court.ruling(task_id, juror, *([one] if one else [])))
    await court.pass_time(JURY_MS - 1)
    assert state(court, task_id) == ("disputed", None)
    await court.pass_time(1)
    phase, outcome = state(court, task_id)
    assert (phase, outcome, court.record(task_id).paid) == ("verified", "inconclusive", True)
    assert court.balances(court.customer) == (99 * CPC, 0)


async def test_three_that_differ_end_it_at_once(court) -> None:
    task_id = await disputed(court)
    for juror, one in zip(court.jurors(task_id), (b"a", b"b", b"c"), strict=True):
        court.desk.take(task_id, court.ruling(task_id, juror, one * 32))
    assert state(court, task_id) == ("verified", "inconclusive")


async def overturned(court) -> tuple[str, list[Any]]:
    task_id = await disputed(court)
    jurors = court.jurors(task_id)
    for one in jurors:
        court.desk.take(task_id, court.ruling(task_id, one, FALSE))
    return task_id, jurors


async def test_a_false_result_ends_the_task_and_its_liars_are_drawn_no_more(court) -> None:
    told: list[Any] = []
    court.desk.on_overturned = lambda *about: told.append(about)
    task_id, _ = await overturned(court)
    assert state(court, task_id) == ("overturned", "overturned")
    view = court.service.task(task_id)
    assert (view.status, view.error.code, view.result) == ("failed", "overturned", None)
    assert court.balances(court.customer) == (100 * CPC, 0)
    [(appeal, decision)] = told
    assert (appeal.task_id, decision.wrong) == (task_id, (0,))
    judgement = court.board.outcome(task_id).jobs[0].judgement
    signers = {one.validator_key for one in judgement.verdicts}
    barred = {one.identity.public_key for one in court.everybody if court.is_barred(one)}
    assert barred == signers
    court.reload()
    assert all(
        court.is_barred(one) == (one.identity.public_key in signers) for one in court.everybody
    )
    court.now_ms += court.network.protocol.bar_s * 1000
    assert not any(court.is_barred(one) for one in court.everybody)


async def test_who_found_it_invalid_is_neither_slashed_nor_barred(court) -> None:
    draw = await court.leased()
    court.complete(court.report(draw, ["valid", "valid", "invalid"]))
    court.see(*court.everybody)
    for one in court.seated(draw):
        court.deposit(one.address, CPC)
        batch = Batch()
        court.settlement.bonds.bond(batch, one.address, CPC, key="b", at_ms=0)
        court.db.stage(batch)
    court.desk.open(draw.task_id, court.customer, "why")
    for one in court.jurors(draw.task_id):
        court.desk.take(draw.task_id, court.ruling(draw.task_id, one, FALSE))
    bonds = [court.ledger.balance(accounts.bond(one.address)) for one in court.seated(draw)]
    assert bonds == [CPC // 2, CPC // 2, CPC]
    barred = [court.is_barred(one) for one in court.seated(draw)]
    assert barred == [True, True, False]
    stakes = court.desk.book.find(draw.task_id).stakes.stakes
    signed = {one.address: one.bonded for one in stakes}
    liars = {one.address: CPC for one in court.seated(draw)[:2]}
    assert signed == {court.worker.address: 0, **liars}, "as they were before the slash"


async def test_only_the_workers_of_false_jobs_answer_for_them(court) -> None:
    task_id = await disputed(court, chains=2)
    right, wrong = court.desk.book.find(task_id).claimed
    for one in (court.worker, court.second_worker):
        court.deposit(one.address, CPC)
        batch = Batch()
        court.settlement.bonds.bond(batch, one.address, CPC, key="b", at_ms=0)
        court.db.stage(batch)
    for one in court.jurors(task_id):
        court.desk.take(task_id, court.ruling(task_id, one, right, FALSE))
    pair = (court.worker, court.second_worker)
    bonds = [court.ledger.balance(accounts.bond(one.address)) for one in pair]
    assert bonds == [CPC, CPC // 2]
    assert wrong != FALSE


async def test_a_ruling_of_somebody_else_does_not_count(court) -> None:
    task_id = await disputed(court)
    for juror in (court.stranger, court.validators[0]):
        with pytest.raises(StatementInvalid):
            court.desk.take(task_id, court.ruling(task_id, juror))
    assert court.desk.book.find(task_id).rulings == ()


@pytest.mark.parametrize("when", ["before", "meanwhile", "after"])
@pytest.mark.parametrize("is_false", [False, True])
async def test_a_disputed_result_gets_its_place_on_the_chain(
    court, when: str, is_false: bool
) -> None:
    task_id = await completed(court)
    places: dict[str, Callable[[], object]] = {when: lambda: court.anchor(task_id)}
    places.get("before", lambda: None)()
    court.desk.open(task_id, court.customer, "why")
    places.get("meanwhile", lambda: None)()
    assert court.record(task_id).phase == "disputed"
    said = (FALSE,) if is_false else ()
    for one in court.jurors(task_id):
        court.desk.take(task_id, court.ruling(task_id, one, *said))
    expected = "overturned" if is_false else "verified" if when == "after" else "anchored"
    assert court.record(task_id).phase == expected
    places.get("after", lambda: None)()
    assert court.board.outcome(task_id).is_anchored
    await court.pass_time(WINDOW_MS)
    assert court.record(task_id).phase == ("overturned" if is_false else "settled")


@pytest.mark.parametrize("outcome", ["upheld", "overturned", "inconclusive"])
async def test_it_goes_on_after_a_restart(court, outcome: str) -> None:
    task_id = await disputed(court)
    jurors = court.jurors(task_id)
    said = {"upheld": (), "overturned": (FALSE,), "inconclusive": ()}[outcome]
    court.desk.take(task_id, court.ruling(task_id, jurors[0], *said))
    court.reload()
    assert [one.task_id for one in court.desk.book.open()] == [task_id]
    if outcome != "inconclusive":
        court.desk.take(task_id, court.ruling(task_id, jurors[1], *said))
        court.reload()
    await court.pass_time(JURY_MS)
    court.reload()
    assert court.desk.book.find(task_id).outcome == outcome
    assert not list(court.desk.book.open())
    assert court.ledger.audit().ok
    names = ("appeal:", "maturing:", "reserved:")
    assert not [one for one, _ in court.ledger.holdings() if one.startswith(names)]


async def test_what_a_crash_loses_can_be_said_again(shop_of) -> None:
    """At every write: what was not stored has not happened, and nothing else."""
    for place in range(5):
        store = MemoryStore()
        async with open_database(store) as db:
            court = shop_of(db)
            court.deposit(court.customer, 10 * CPC)
            court.see(*court.validators)
            task_id = await disputed(court)
            await db.flushed()
            jurors, staged, stage = court.jurors(task_id), [0], db.stage

            def cut(batch: Any, staged: list[int] = staged, stage: Any = stage) -> None:
                if staged[0] < place:  # noqa: B023
                    stage(batch)
                staged[0] += 1

            rulings = [court.ruling(task_id, one, FALSE) for one in jurors]
            db.stage = cut
            for one in rulings:
                court.desk.take(task_id, one)
        async with open_database(store) as db:
            court = shop_of(db, now_ms=court.now_ms)
            known = len(court.desk.book.find(task_id).rulings)
            assert known == min(place, 3)
            assert (court.bars.barred > 0) == (place == 4)
            assert (court.record(task_id).phase == "overturned") == (place == 4)
            for one in rulings:
                court.desk.take(task_id, one)
            await court.pass_time(JURY_MS)
            assert court.record(task_id).phase == "overturned"
            assert court.ledger.balance(accounts.customer(court.customer)) == 10 * CPC
            assert court.ledger.audit().ok


async def test_bonds_come_back_by_themselves(court) -> None:
    court.deposit(court.worker.address, CPC)
    batch = Batch()
    bonds, address = court.settlement.bonds, court.worker.address
    bonds.bond(batch, address, CPC, key="b", at_ms=court.now_ms)
    bonds.unbond(batch, address, CPC, key="u", at_ms=court.now_ms)
    court.db.stage(batch)
    await court.pass_time(7_200_000 - 1)
    assert court.balances(address) == (0, 0)
    shown = court.service.account(address)
    assert (shown.bonded, shown.unbonding) == (0, CPC)
    await court.pass_time(1)
    assert court.balances(address) == (CPC, 0)
    lines = court.service.statement(address, start=0, limit=10).lines
    assert [(one.account, one.kind) for one in lines] == [
        ("customer", "deposit"),
        ("customer", "bond"),
        ("bond", "bond"),
        ("bond", "unbond"),
        ("unbonding", "unbond"),
        ("customer", "release"),
        ("unbonding", "release"),
    ]


async def test_only_open_appeals_are_read_at_the_start(court, monkeypatch) -> None:
    """However many were decided: what a start takes, and keeps, goes by what is open."""
    decided = [(await overturned(court))[0] for _ in range(3)]
    court.see(*court.validators)
    task_id = await disputed(court)
    read: list[str] = []
    find = AppealBook.find

    def counted(book: AppealBook, name: str) -> Any:
        read.append(name)
        return find(book, name)

    monkeypatch.setattr(AppealBook, "find", counted)
    court.reload()
    assert read == [task_id]
    book = court.desk.book
    assert [one.task_id for one in book.open()] == [task_id]
    assert book.find_open(task_id) is not None
    assert [book.find_open(one) for one in decided] == [None] * 3
    assert {book.find(one).outcome for one in decided} == {"overturned"}


@pytest.mark.parametrize("said", [(), (FALSE,)])
async def test_what_waits_for_its_place_is_known_in_every_phase(court, said) -> None:
    """Also over a restart, and until the last job has its place."""
    task_id = await completed(court, chains=2)
    for step in ("verified", "disputed", "decided", "first", "second"):
        if step == "disputed":
            court.desk.open(task_id, court.customer, "why")
        elif step == "decided":
            for one in court.jurors(task_id):
                court.desk.take(task_id, court.ruling(task_id, one, *(said * 2)))
        elif step == "first":
            court.anchor(task_id, jobs=slice(0, 1), name="one")
        elif step == "second":
            court.anchor(task_id, jobs=slice(1, 2), name="two")
        for _ in range(2):
            found = [one.task_id for one in court.board.unanchored_tasks()]
            assert found == ([] if step == "second" else [task_id]), step
            phases = {one.phase for one in court.board.unanchored_tasks()}
            assert phases <= {court.record(task_id).phase}
            open_ = list(court.board.disputed_tasks())
            assert open_ == ([task_id] if step == "disputed" else [])
            court.reload()


@pytest.mark.parametrize("is_anchored_before", [False, True])
async def test_a_dispute_about_an_anchored_result_waits_for_no_place(
    court, is_anchored_before: bool
) -> None:
    task_id = await completed(court)
    if is_anchored_before:
        court.anchor(task_id)
    court.desk.open(task_id, court.customer, "why")
    if not is_anchored_before:
        court.anchor(task_id)
    assert court.record(task_id).phase == "disputed"
    for _ in range(2):
        assert not list(court.board.unanchored_tasks())
        court.reload()


async def test_a_dispute_that_the_chain_ends_leaves_the_task_where_it_was(court) -> None:
    """Before its jury has said anything; afterwards what that has said stands."""
    task_id = await disputed(court)
    batch = Batch()
    court.settlement.disputes.on_ended(batch, task_id, "the chain never had it")
    court.db.stage(batch)
    assert state(court, task_id) == ("verified", "inconclusive")
    court.desk.take(task_id, court.ruling(task_id, court.jurors(task_id)[0], FALSE))
    assert state(court, task_id) == ("verified", "inconclusive")
    assert not list(court.desk.book.open())


async def test_what_a_jury_has_said_stands_whatever_becomes_of_the_money(court) -> None:
    task_id = await disputed(court)
    for juror in court.jurors(task_id):
        court.desk.take(task_id, court.ruling(task_id, juror, FALSE))
    assert state(court, task_id) == ("overturned", "overturned")
    batch, rewards = Batch(), court.settlement.rewards
    court.settlement.disputes.on_ended(batch, task_id, "no award was signed")
    rewards.on_reclaimed(batch, task_id)
    court.db.stage(batch)
    assert state(court, task_id) == ("overturned", "overturned")


async def test_a_dispute_that_ends_with_its_escrow(court) -> None:
    """Both in one batch: the reward is back, and the task ends with that."""
    task_id = await disputed(court)
    batch = Batch()
    court.settlement.disputes.on_ended(batch, task_id, "the escrow is refunded")
    court.settlement.rewards.on_reclaimed(batch, task_id)
    court.db.stage(batch)
    assert state(court, task_id) == ("reclaimed", "inconclusive")
    court.reload()
    assert state(court, task_id) == ("reclaimed", "inconclusive")


async def test_the_block_that_a_jury_was_drawn_by_is_kept(court) -> None:
    task_id = await disputed(court)
    appeal = court.desk.book.find(task_id)
    assert (appeal.beacon_height, appeal.jury.beacon) == court.beacon
