"""What answers for a result with a bond: until when it can be lost, and what it is lost for."""

import pytest

from node.amounts import UNITS_PER_CPC
from node.settlement import accounts
from storage.store import Batch

CPC = UNITS_PER_CPC
FALSE = b"f" * 32
WINDOW_MS = 5_000


@pytest.fixture
def court(shop):
    """The shop with nine more validators, whom only the snapshot after the lease has."""
    return shop


def stake(court, address: str, amount: int) -> None:
    court.deposit(address, amount)
    batch = Batch()
    court.settlement.bonds.bond(batch, address, amount, key="b", at_ms=court.now_ms)
    court.db.stage(batch)


def take_back(court, address: str, amount: int) -> None:
    batch = Batch()
    court.settlement.bonds.unbond(batch, address, amount, key="u", at_ms=court.now_ms)
    court.db.stage(batch)


async def test_no_bond_leaves_before_its_result_is_beyond_dispute(court) -> None:
    """Taken back right after the draw, by who then signs at the lease's last moment."""
    draw = await court.leased()
    liar, other, honest = court.seated(draw)
    for one in (liar, other, honest):
        stake(court, one.address, CPC)
    court.now_ms += 1
    take_back(court, liar.address, CPC)
    take_back(court, honest.address, CPC)
    began_ms = court.now_ms
    await court.pass_time(19_000)
    court.complete(court.report(draw, ["valid", "valid", "invalid"]))
    found = court.settlement.bonds.find
    unbonding_ms = 7_200_000
    assert found(liar.address).release_ms == court.now_ms + unbonding_ms
    assert found(honest.address).release_ms == began_ms + unbonding_ms
    court.see(*court.everybody)
    await court.pass_time(WINDOW_MS - 1)
    court.desk.open(draw.task_id, court.customer, "why")
    for juror in court.jurors(draw.task_id):
        court.desk.take(draw.task_id, court.ruling(draw.task_id, juror, FALSE))
    assert found(liar.address).unbonding == CPC // 2


async def test_who_works_on_gets_back_what_it_took_back(court) -> None:
    """Results of draws after it are covered by the bond that they were made with."""
    draw = await court.leased()
    signer = court.seated(draw)[0]
    stake(court, signer.address, CPC)
    await court.pass_time(-1_000)
    take_back(court, signer.address, CPC)
    due_ms = court.settlement.bonds.find(signer.address).release_ms
    await court.pass_time(1_000)
    court.complete(court.report(draw))
    assert court.settlement.bonds.find(signer.address).release_ms == due_ms


async def test_who_checked_another_attempt_of_an_overturned_task_is_unpaid(court) -> None:
    """As with any task without a result; and nobody loses a bond for what it found invalid."""
    first = await court.leased()
    court.fail(first, court.judgement(first, ["invalid", "invalid"], worker=court.second_worker))
    checkers = court.seated(first)
    for one in checkers:
        stake(court, one.address, CPC)
    court.see(*court.everybody)
    draw = court.lease(first.task_id)
    court.complete(court.report(draw))
    court.desk.open(first.task_id, court.customer, "why")
    liars = {one.address for one in court.seated(draw)[:2]}
    for one in court.jurors(first.task_id):
        court.desk.take(first.task_id, court.ruling(first.task_id, one, FALSE))
    assert court.record(first.task_id).phase == "overturned"
    jurors = {f"validator:{one.address}" for one in court.jurors(first.task_id)}
    assert set(court.earned()) <= jurors
    for one in checkers:
        expected = CPC // 2 if one.address in liars else CPC
        assert court.ledger.balance(accounts.bond(one.address)) == expected
