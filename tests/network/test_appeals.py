"""Results that are disputed: computed again by a jury that had nothing to do with them."""

from functools import partial
from typing import Any

import msgspec
import pytest
import trio
from trio.testing import MockClock

from node.amounts import UNITS_PER_CPC, Amount
from node.errors import Conflict, InsufficientFunds, NotAllowed
from node.l1.transactions import transfer
from node.market.juries import NoJury
from node.roles import rescue
from node.verification.receipt_check import Standing, verify_receipt
from node.verification.rulings import sign_ruling
from node.wire.appeals import RequestRuling

CHAIN = "cpc-devnet-1"
LONGEST_S = 3600
FEE = Amount(3 * (UNITS_PER_CPC // 1000 + 8_192 * 10_000))
"""Three times the price of the work: 0.001 CPC, and 0.01 for 10^12 of its 8,192 multiply-adds."""
RESERVE = 10**9
"""What the L1's fees take of it."""
REASON = "it looks wrong"


@pytest.fixture
async def court(tmp_path, autojump_clock, open_world):
    """A world with twice as many validators as a quorum takes."""
    assert isinstance(trio.lowlevel.current_clock(), MockClock)
    with trio.fail_after(LONGEST_S):
        async with open_world(tmp_path, validators=6, pins_market=True) as world:
            yield world


def judges(world, task_id: str) -> list:
    """Whoever sat in the task's draw."""
    seats = {seat.key for seat in world.record(task_id).draw.seats}
    return [one for one in world.team("validator") if one.keys.identity.public_key in seats]


def jury(world, task_id: str) -> list:
    addresses = world.market.task(task_id).appeal.jury
    return [one for one in world.team("validator") if one.address in addresses]


def appeal(world, task_id: str, account: str | None = None):
    return world.market.appeal(task_id, account or world.customer.address, REASON)


async def completed(world) -> str:
    task = await world.buy()
    await world.until(task.task_id, "verified", "refunded")
    return task.task_id


def money(world) -> dict[str, int]:
    return dict(world.ledger.holdings())


def spent(world) -> int:
    """Units that the customer has less than it paid in."""
    account = world.market.account(world.customer.address)
    return 1000 * UNITS_PER_CPC - account.available - account.reserved


async def stake(world, member, cpc: int) -> None:
    """Give a node money, have it paid in at the market and bonded there."""
    nonce = await world.l1.nonce(world.customer.address, pending=True)
    gift = transfer(member.address, (cpc + 1) * UNITS_PER_CPC).signed(world.customer, nonce)
    await world.l1.send(gift)
    height = (await world.l1.status()).height
    while (await world.l1.status()).height < height + 2:  # noqa: ASYNC110
        await trio.sleep(0.1)
    nonce = await world.l1.nonce(member.address, pending=True)
    deposit = transfer(world.members["market"].address, cpc * UNITS_PER_CPC)
    await world.l1.send(deposit.signed(member.keys.account, nonce))
    await world.holds(lambda: world.market.account(member.address).available)
    staking = world.members["market"].assembly.staking
    bond = await staking.bond(member.address, Amount(cpc * UNITS_PER_CPC), "stake")
    assert bond.bonded == cpc * UNITS_PER_CPC


async def test_an_honest_result_is_upheld(court, autojump_clock) -> None:
    """The appellant pays the jury; those who did the work are paid as if nothing had been."""
    task_id = await completed(court)
    view = await appeal(court, task_id)
    assert (view.phase, view.status) == ("disputed", "completed")
    assert (view.appeal.fee, view.appeal.outcome) == (FEE, None)
    assert court.market.account(court.customer.address).reserved == FEE
    jurors = jury(court, task_id)
    assert len(jurors) == 3
    assert not {one.name for one in jurors} & {one.name for one in judges(court, task_id)}
    before = trio.current_time()
    view = await court.until(task_id, "verified", "anchored")
    assert trio.current_time() - before < 2
    assert (view.appeal.outcome, view.appeal.rulings) == ("upheld", 3)
    assert view.result is not None
    entry = court.ledger.find(f"ruling:{task_id}")
    assert entry.kind == "upheld"
    assert [entry.amount(f"validator:{one.address}") for one in jurors] == [
        (FEE - RESERVE) // 3
    ] * 3
    await court.until(task_id, "settled")
    assert spent(court) == 10 * UNITS_PER_CPC + FEE
    receipt, standing = verify_receipt(court.market.receipt(task_id), court.network)
    assert standing is Standing.ANCHORED
    assert (receipt.appeal.outcome, len(receipt.appeal.rulings)) == ("upheld", 3)
    with pytest.raises(Conflict):
        await appeal(court, task_id)
    assert court.ledger.audit().ok


async def test_a_false_result_that_slipped_through_is_overturned(
    court, collude, autojump_clock
) -> None:
    """Reward and fee come back, bonds of all who answer for it are slashed and pay the jury, and
    nobody of them gets work for a while."""
    collude(court)
    worker, other = court.team("worker")
    await court.crash(other)
    for one in (worker, *court.team("validator")):
        await stake(court, one, 4)
    before = spent(court)
    task_id = await completed(court)
    assert court.record(task_id).phase == "verified"
    false = court.market.task(task_id).result.workers[0].address
    assert false == worker.address
    await appeal(court, task_id)
    view = await court.until(task_id, "overturned")
    assert (view.status, view.error.code) == ("failed", "overturned")
    assert (view.appeal.outcome, view.result) == ("overturned", None)
    assert spent(court) == before
    jurors, liars = jury(court, task_id), judges(court, task_id)
    bonds = {
        one.name: court.ledger.balance(f"bond:{one.address}") for one in court.members.values()
    }
    for one in (worker, *liars):
        assert bonds[one.name] == 2 * UNITS_PER_CPC, one.name
    for one in jurors:
        assert bonds[one.name] == 4 * UNITS_PER_CPC, one.name
    entry = court.ledger.find(f"slash:{task_id}")
    assert [entry.amount(f"validator:{one.address}") for one in jurors] == [
        (FEE - RESERVE) // 3
    ] * 3
    assert entry.amount("burn") == 8 * UNITS_PER_CPC - RESERVE - 3 * ((FEE - RESERVE) // 3)
    await court.holds(lambda: not [one for one in money(court) if one.startswith("validator:")])
    assert await court.l1.balance(other.address) == 0
    await court.holds(lambda: all(is_barred(one, worker) for one in court.team("validator")))
    snapshots = court.members["market"]
    candidates = {one.address for one in newest(snapshots).candidates}
    assert candidates == {one.address for one in jurors}
    assert court.ledger.audit().ok


def is_barred(validator, worker) -> bool:
    status = validator.assembly.info.status()
    return bool(status.counts["workers_barred"])


def newest(market):
    desk = market.assembly.market._desk
    return desk._snapshots.newest


async def test_the_receipt_of_an_overturned_result_says_so(court, collude, autojump_clock) -> None:
    collude(court)
    task_id = await completed(court)
    await appeal(court, task_id)
    await court.until(task_id, "overturned")
    await court.holds(lambda: court.market._board.outcome(task_id).is_anchored)
    receipt, standing = verify_receipt(court.market.receipt(task_id), court.network)
    assert standing is Standing.OVERTURNED
    assert receipt.appeal.outcome == "overturned"
    claimed = receipt.results[0].result_hash
    assert {one.hashes[0].hex() for one in receipt.appeal.rulings} != {claimed}


async def test_without_an_appeal_the_lie_is_paid(court, collude, autojump_clock) -> None:
    """What the appeal is for."""
    collude(court)
    task_id = await completed(court)
    view = await court.until(task_id, "settled")
    assert spent(court) == 10 * UNITS_PER_CPC
    assert view.appeal is None


async def silence_jury(world, silence, count: int) -> None:
    """Of the jury of whatever is disputed next, so many say nothing."""
    silent: list[str] = []

    async def answer(member, sender, message, handler):
        if member.name in silent or len(silent) < count:
            silent.extend([member.name] * (member.name not in silent))
            await silence()
        return await handler(sender, message)

    for member in world.team("validator"):
        member.answers[RequestRuling] = partial(answer, member)


@pytest.mark.parametrize(("silent", "outcome"), [(1, "upheld"), (2, "inconclusive")])
async def test_jurors_that_say_nothing(court, silence, autojump_clock, silent, outcome) -> None:
    """Two of three decide. With fewer, at the deadline, all goes on as if nothing had been."""
    await silence_jury(court, silence, silent)
    task_id = await completed(court)
    await appeal(court, task_id)
    began = trio.current_time()
    view = await court.until(task_id, "verified", "anchored", "settled")
    assert view.appeal.outcome == outcome
    took_s, most_s = trio.current_time() - began, 2 * court.network.protocol.lease_s
    assert (took_s < 3) if outcome == "upheld" else (most_s - 1 < took_s < most_s + 2)
    await court.until(task_id, "settled")
    assert spent(court) == 10 * UNITS_PER_CPC + (FEE if outcome == "upheld" else 0)
    entry = court.ledger.find(f"ruling:{task_id}")
    paid = sum(one.account.startswith("validator:") for one in entry.postings)
    assert paid == (2 if outcome == "upheld" else 0)
    assert court.ledger.audit().ok


async def test_a_juror_that_lies_is_outvoted_and_unpaid(court, autojump_clock) -> None:
    """What it says it computed is nobody else's."""
    task_id = await completed(court)
    juror: list[Any] = []

    async def answer(member, sender, message, handler):
        found = await handler(sender, message)
        if found.ruling is None or (juror and juror[0] is not member):
            return found
        juror[:] = [member]
        lie = msgspec.structs.replace(found.ruling, hashes=(bytes(32),))
        return msgspec.structs.replace(found, ruling=sign_ruling(lie, CHAIN, member.keys.identity))

    for member in court.team("validator"):
        member.answers[RequestRuling] = partial(answer, member)
    await appeal(court, task_id)
    view = await court.until(task_id, "verified", "anchored")
    assert view.appeal.outcome == "upheld"
    entry = court.ledger.find(f"ruling:{task_id}")
    assert entry.amount(f"validator:{juror[0].address}") == 0
    assert sum(one.account.startswith("validator:") for one in entry.postings) == 2


@pytest.mark.parametrize("who", ["market", "jury", "both"])
async def test_a_restart_in_the_middle_loses_nothing(
    court, collude, autojump_clock, who: str
) -> None:
    """Before any juror has answered; the market asks again, and they compute again."""
    asked = trio.Event()

    async def hold(member, sender, message, handler):
        if not asked.is_set():
            asked.set()
            await trio.sleep_forever()
        return await handler(sender, message)

    collude(court)
    for member in court.team("validator"):
        member.answers[RequestRuling] = partial(hold, member)
    task_id = await completed(court)
    await appeal(court, task_id)
    jurors, market = jury(court, task_id), court.members["market"]
    await asked.wait()
    await court.restart(*{"market": [market], "jury": jurors, "both": [market, *jurors]}[who])
    view = await court.until(task_id, "overturned", "settled")
    assert (view.phase, view.appeal.outcome) == ("overturned", "overturned")
    assert spent(court) == 0
    assert not [name for name in money(court) if name.startswith(("appeal:", "maturing:"))]
    assert court.ledger.audit().ok


async def test_who_cannot_appeal(court, autojump_clock) -> None:
    task = await court.buy()
    with pytest.raises(Conflict):
        await appeal(court, task.task_id)
    await court.until(task.task_id, "verified")
    with pytest.raises(NotAllowed):
        await appeal(court, task.task_id, court.members["worker-1"].address)
    await court.until(task.task_id, "settled")
    with pytest.raises(Conflict):
        await appeal(court, task.task_id)


async def test_without_enough_strangers_there_is_no_jury(world, autojump_clock) -> None:
    """Three validators, all of whom judged: the appeal is refused, and costs nothing."""
    task = await world.buy()
    await world.until(task.task_id, "verified")
    before = money(world)
    with pytest.raises(NoJury, match=r"0 validators are there .* no fee was taken") as refused:
        await appeal(world, task.task_id)
    assert (refused.value.code, money(world)) == ("no_jury", before)
    assert "tmnode devnet --validators 6" in refused.value.remedy
    await world.until(task.task_id, "settled")
    assert spent(world) == 10 * UNITS_PER_CPC


async def test_an_appeal_takes_its_fee(court, autojump_clock) -> None:
    await court.buy(reward=Amount(1000 * UNITS_PER_CPC - FEE + 1))
    [task_id] = [
        one.task_id
        for one in court.market.tasks(status=None, challenge_type=None, limit=1, offset=0).tasks
    ]
    await court.until(task_id, "verified")
    with pytest.raises(InsufficientFunds):
        await appeal(court, task_id)
    assert court.record(task_id).phase == "verified"


async def test_a_validator_without_its_bond_is_not_drawn(
    tmp_path, autojump_clock, open_world
) -> None:
    """It is there, and in no snapshot, until it has put its bond down; and again without."""
    with trio.fail_after(LONGEST_S):
        async with open_world(
            tmp_path, economics={"validator_bond": Amount(UNITS_PER_CPC)}
        ) as world:
            market, team = world.members["market"], world.team("validator")
            await trio.sleep(10)
            assert newest(market) is None
            for member in team:
                await stake(world, member, 1)
            await world.holds(lambda: newest(market) and len(newest(market).candidates) == 3)
            task = await world.buy()
            assert (await world.until(task.task_id, "verified", "refunded")).phase == "verified"
            staking = market.assembly.staking
            await staking.unbond(team[0].address, Amount(1), "back")
            await world.holds(lambda: len(newest(market).candidates) == 2)


async def test_the_pay_of_a_worker_without_its_bond_waits_longer(
    tmp_path, autojump_clock, open_world
) -> None:
    rules = {"worker_bond": Amount(UNITS_PER_CPC), "unbonded_wait_s": 60.0}
    with trio.fail_after(LONGEST_S):
        async with open_world(tmp_path, workers=1, economics=rules) as world:
            waits = []
            for _ in range(2):
                task = await world.buy()
                view = await world.until(task.task_id, "verified")
                waits.append(view.result.pay_due_ms - view.result.completed_at_ms)
                await world.until(task.task_id, "settled")
                if len(waits) == 1:
                    await stake(world, world.members["worker-1"], 1)
            assert waits == [65_000, 5_000]


@pytest.mark.parametrize("outcome", ["overturned", "inconclusive", "upheld"])
async def test_a_disputed_result_that_its_validators_leave_is_anchored_by_the_market(
    court, collude, silence, monkeypatch, autojump_clock, outcome: str
) -> None:
    """Who won needs the receipt most; nobody's money moves for it but the market's own fee."""
    monkeypatch.setattr(rescue, "ANCHORED_WITHIN_S", 60.0)
    if outcome == "overturned":
        collude(court)
    await silence_jury(court, silence, 3 if outcome == "inconclusive" else 0)
    task_id = await completed(court)
    for member in judges(court, task_id):
        await court.crash(member)
    began = trio.current_time()
    await appeal(court, task_id)
    await court.holds(lambda: court.market.task(task_id).appeal.outcome)
    assert court.market.task(task_id).appeal.outcome == outcome
    assert not court.market._board.outcome(task_id).is_anchored
    books = money(court)
    await court.holds(lambda: court.market._board.outcome(task_id).is_anchored)
    assert 50 < trio.current_time() - began < 90
    view = await court.until(task_id, "settled", "overturned")
    assert view.phase == ("overturned" if outcome == "overturned" else "settled")
    receipt, standing = verify_receipt(court.market.receipt(task_id), court.network)
    is_false = outcome == "overturned"
    assert standing is (Standing.OVERTURNED if is_false else Standing.ANCHORED)
    assert (receipt.appeal is None) == (outcome == "inconclusive")
    assert (
        spent(court)
        == {
            "overturned": 0,
            "inconclusive": 10 * UNITS_PER_CPC,
            "upheld": 10 * UNITS_PER_CPC + FEE,
        }[outcome]
    )
    held = ("customer:", "bond:", "appeal:", "maturing:", "reserved:")
    if is_false:
        after = money(court)
        assert {k: v for k, v in after.items() if k.startswith(held)} == {
            k: v for k, v in books.items() if k.startswith(held)
        }
    assert court.ledger.audit().ok
    await trio.sleep(30)
    assert not list(court.market._board.unanchored_tasks())
