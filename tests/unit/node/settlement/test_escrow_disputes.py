"""Disputes where the chain holds the money: every outcome, every way out, whoever comes first."""

from typing import Any

import msgspec
import pytest
import trio

from node.amounts import Amount
from node.errors import Conflict, InsufficientFunds, InvalidInput, NotFound
from node.l1.errors import BadPayload
from node.l1.escrow import (
    Approval,
    MarketParameters,
    refund_escrow,
    settle_escrow,
    sign_award,
    sign_claim,
    sign_refund,
    unbond,
    withdraw_all,
)
from node.l1.transactions import transfer
from node.settlement.errors import LedgerConflict, SettlementConflict
from node.settlement.escrow_claims import award_of
from node.settlement.escrow_disputes import UNRULED
from node.settlement.escrow_outbox import HOPELESS_BLOCKS
from node.verification.acts import keys_of
from storage.store import Batch
from tests.unit.node.settlement.support.escrows import (
    CPC,
    TASK,
    Key,
    copy_of,
    free,
    restore,
    take_out,
    until,
)
from tests.unit.node.settlement.support.juries import (
    CHAIN_ID,
    FALSE,
    FEE,
    MEMBERS,
    Court,
    sign_awards,
    vouched,
)

RESERVE = 10**9
SHARE = (FEE - RESERVE) // 2


def rewarded(world: Any, key: Key) -> int:
    """What the worker of the task was paid."""
    return int(world.balance(key(20).address))


@pytest.fixture
def small(world: Any) -> Any:
    """One in which no time is long."""
    world.parameters = msgspec.structs.replace(
        world.parameters, escrow_block_s=5.0, escrow_grace_blocks=4
    )
    return world


def wait(world: Any, dispute_window_s: float) -> None:
    """Let pay wait for so long before it is due."""
    world.parameters = msgspec.structs.replace(
        world.parameters, dispute_window_s=dispute_window_s, unbonding_s=2_000.0
    )


@pytest.mark.parametrize("late", [False, True], ids=["at once", "after the appeal is in a block"])
@pytest.mark.parametrize("outcome", ["upheld", "inconclusive", "overturned"])
async def test_every_outcome(
    world: Any, key: Key, autojump_clock: trio.abc.Clock, outcome: str, late: bool
) -> None:
    """What the jury came to is signed and in a block, and everybody has what is theirs."""
    async with world.running(), world.market() as market:
        court = Court(world, market, key)
        await court.bonded()
        await court.completed()
        court.appeal()
        assert market.ledger.balance(f"appeal:{TASK}") == FEE
        if late:
            await until(lambda: court.dispute.state == "open")
            await trio.sleep(60)
            assert court.record.stage == "disputed"
            assert not list(market.settlement.rewards.due(2**62)), "the pay is held"
        assert court.rule(outcome)
        assert not court.rule(outcome)
        await court.closed()
        assert (court.dispute.state, court.dispute.ruled) == ("ruled", outcome)
        overturned = outcome == "overturned"
        assert rewarded(world, key) == (0 if overturned else CPC // 4)
        lost = {"upheld": CPC + FEE, "inconclusive": CPC, "overturned": 0}[outcome]
        assert free(market, court.alice.address) == 10 * CPC - lost
        assert court.bond == (CPC // 2 if overturned else CPC)
        paid = SHARE if outcome != "inconclusive" else 0
        assert [world.balance(one) for one in court.jurors] == [paid] * 2
        assert court.told == ([] if overturned else ["paid"]), "what the jury said is known"
        assert court.ended == []
        await court.check()


async def test_a_slash_reaches_what_leaves(
    world: Any, key: Key, autojump_clock: trio.abc.Clock
) -> None:
    """And what is left of it comes back in its block."""
    async with world.running(), world.market() as market:
        court = Court(world, market, key)
        await court.bonded(3)
        world.submit(court.liar, unbond(world.key.address, 2))
        await until(lambda: court.bond == 1)
        stake = court.disputes.at_stake(court.liar.address)
        assert (stake.bonded, stake.unbonding) == (1, 2)
        assert stake.release_ms > market.now_ms()
        await court.completed()
        await court.disputed()
        court.rule("overturned")
        await court.closed()
        stake = court.disputes.at_stake(court.liar.address)
        assert (stake.bonded, stake.unbonding) == (0, 1), "half of it, rounded up, from the bond"
        await court.check()
        await until(lambda: court.disputes.at_stake(court.liar.address).unbonding == 0)
        assert court.disputes.at_stake(court.liar.address).release_ms is None
        assert not list(market.settlement.bonds.known())
        await court.check()


async def test_an_appeal_that_the_chain_never_has(
    small: Any, key: Key, autojump_clock: trio.abc.Clock
) -> None:
    """Somebody settles before: no block ever takes the appeal, and nothing waits for it."""
    async with small.running(), small.market() as market:
        court = Court(small, market, key)
        await court.completed()
        await until(lambda: court.record.is_approved)
        record = court.record
        draft = settle_escrow(record.escrow_id, record.claim, record.approvals, gas_price=9_000)
        small.submit(key(12), draft)
        court.appeal()
        await court.closed()
        assert (court.record.state, court.dispute.state) == ("settled", "failed")
        assert court.ended == ["the escrow is settled already"]
        assert court.told == ["paid"]
        assert free(market, court.alice.address) == 9 * CPC
        for outcome in ("overturned", "overturned"):
            court.rule(outcome)  # the jury may say so later, and it changes nothing
        await until(lambda: not market.sender._book.has_open)
        await court.check()


async def test_an_appeal_in_no_block_by_its_deadline(
    small: Any, key: Key, autojump_clock: trio.abc.Clock
) -> None:
    """The fee is back, and the pay goes on: the market had nothing for fees."""
    async with small.running(), small.market() as market:
        court = Court(small, market, key)
        await court.completed()
        await until(lambda: court.record.is_approved)
        left = small.balance(small.key.address) - 21 * 10**6
        small.submit(small.key, transfer(key(13).address, left))
        court.appeal()
        await until(lambda: court.dispute.state == "failed")
        assert court.ended == ["its deadline came before a block had it"]
        assert free(market, court.alice.address) == 9 * CPC
        small.submit(key(12), transfer(small.key.address, CPC))
        await court.closed()
        assert court.told == ["paid"]
        await court.check()


@pytest.mark.parametrize("outcome", [None, "upheld", "inconclusive", "overturned"])
async def test_nobody_signs(
    small: Any, key: Key, autojump_clock: trio.abc.Clock, outcome: str | None
) -> None:
    """Without an award the pay goes on at the deadline, but never for what a jury found false: that
    comes back when deadline and grace are over. The fee comes back with either."""
    small.approving = False
    async with small.running(), small.market() as market:
        court = Court(small, market, key)
        await court.bonded()
        await court.completed(seconds=30)
        signed_by_all(court)
        await court.disputed()
        if outcome:
            court.rule(outcome)
        if outcome == "overturned":
            await court.closed()
            assert court.record.state == "refunded"
            assert small.chain.tip.height >= court.record.late_height
            assert free(market, court.alice.address) == 10 * CPC
            assert court.told == []
        else:
            await until(lambda: court.dispute.state == "lapsed")
            assert market.settlement.deposits.height == court.dispute.deadline
            assert market.ledger.balance(f"appeal:{TASK}") == FEE
            await court.closed()
            assert court.record.state == "settled"
            assert free(market, court.alice.address) == 9 * CPC
            assert court.told == ["paid"]
        assert court.dispute.state == "lapsed"
        assert len(court.ended) == 1
        assert court.bond == CPC
        await court.check()


def signed_by_all(court: Court) -> None:
    """The claim was signed before the dispute."""
    for one in list(court.market.settlement.rewards.unapproved()):
        for identity in MEMBERS[:2]:
            batch = Batch()
            approval = sign_claim(identity, CHAIN_ID, one.escrow_id, one.claim)
            assert court.market.settlement.rewards.approve(batch, one, approval)
            court.market.db.stage(batch)


@pytest.mark.parametrize("ours", [None, "upheld", "overturned"])
@pytest.mark.parametrize("theirs", ["upheld", "inconclusive", "overturned"])
async def test_a_stranger_sends_an_award(
    small: Any, key: Key, autojump_clock: trio.abc.Clock, ours: str | None, theirs: str
) -> None:
    """What a quorum signed counts, whoever sends it and whatever the market's jury came to."""
    async with small.running(), small.market() as market:
        court = Court(small, market, key)
        await court.bonded()
        await court.completed()
        await court.disputed()
        small.submit(key(12), court.ruling(theirs))
        if ours:
            court.rule(ours)
        await court.closed()
        assert court.dispute.ruled == theirs
        assert court.record.state == ("refunded" if theirs == "overturned" else "settled")
        assert len(court.ended) == (ours != theirs)
        assert not court.rule(ours) if ours else court.rule("upheld"), "said, and of no effect"
        await until(lambda: not market.sender._book.has_open)
        await court.check()


@pytest.mark.parametrize("blocks", [0, 8])
async def test_the_customer_leaves_during_a_dispute(
    small: Any, key: Key, autojump_clock: trio.abc.Clock, blocks: int
) -> None:
    """By its own notice: what the chain has bound goes its way, the fee with it."""
    async with small.running(), small.market() as market:
        court = Court(small, market, key)
        await court.completed(seconds=600)
        await court.disputed(jury_s=300)
        await trio.sleep(5 * blocks)
        await take_out(small, court.alice)
        await until(lambda: not free(market, court.alice.address))
        court.rule("inconclusive")
        await court.closed()
        assert free(market, court.alice.address) == FEE == small.held(court.alice.address)
        small.submit(court.alice, withdraw_all(small.key.address))
        await until(lambda: not free(market, court.alice.address))
        await court.check()


async def test_the_customer_has_left_before_the_chain_has_the_dispute(
    small: Any, key: Key, autojump_clock: trio.abc.Clock
) -> None:
    """The notice is over, and the chain binds nothing more of the deposit: the pay goes on."""
    small.parameters = msgspec.structs.replace(
        small.parameters, dispute_window_s=1_000.0, unbonding_s=2_000.0
    )
    async with small.running(), small.market() as market:
        court = Court(small, market, key)
        await court.completed(seconds=600)
        await take_out(small, court.alice)
        court.appeal()
        await until(lambda: court.dispute.state == "failed")
        await until(lambda: not free(market, court.alice.address))
        await court.closed()
        assert court.told == ["paid"]
        await court.check()


async def test_the_market_was_restored_from_before_the_dispute(
    small: Any, key: Key, autojump_clock: trio.abc.Clock
) -> None:
    """The books learn of the dispute from the block, and hold the pay; the fee comes back."""
    small.parameters = msgspec.structs.replace(
        small.parameters, dispute_window_s=100.0, unbonding_s=2_000.0
    )
    async with small.running():
        async with small.market() as market:
            court = Court(small, market, key)
            await court.completed(seconds=600)
            await until(lambda: court.record.is_approved)
            await market.db.flushed()
            backup = copy_of(small)
            await court.disputed()
        restore(small, backup)
        async with small.market() as market:
            court = Court(small, market, key)
            await until(lambda: court.dispute and court.dispute.state == "open")
            assert market.ledger.balance(f"appeal:{TASK}") == FEE
            assert not list(market.settlement.rewards.due(2**62))
            await court.closed()
            assert court.dispute.state == "lapsed"
            assert free(market, court.alice.address) == 9 * CPC
            await court.check()


async def test_a_restored_market_takes_the_dispute_up_again(
    small: Any, key: Key, autojump_clock: trio.abc.Clock
) -> None:
    """The customer asks once more, for the same fee: that it was put down is in the chain."""
    small.parameters = msgspec.structs.replace(
        small.parameters, dispute_window_s=100.0, unbonding_s=2_000.0
    )
    async with small.running():
        async with small.market() as market:
            court = Court(small, market, key)
            await court.completed(seconds=600)
            await market.db.flushed()
            backup = copy_of(small)
            await court.disputed()
        restore(small, backup)
        async with small.market() as market:
            court = Court(small, market, key)
            await until(lambda: court.dispute and court.dispute.state == "open")
            court.appeal()
            court.rule("overturned")
            await court.closed()
            assert court.dispute.ruled == "overturned"
            assert free(market, court.alice.address) == 10 * CPC
            await court.check()


async def test_what_is_refused_has_changed_nothing(
    world: Any, key: Key, autojump_clock: trio.abc.Clock
) -> None:
    async with world.running(), world.market() as market:
        court = Court(world, market, key)
        alice, now_ms, batch = court.alice.address, market.now_ms(), Batch()
        world.deposit(key(12), CPC)

        def opened(fee: int = FEE, customer: str = alice) -> bool:
            return court.disputes.open(batch, TASK, customer, fee, market.now_ms(), until_ms=now_ms)

        with pytest.raises(NotFound):
            opened()
        with pytest.raises(NotFound):
            court.rule("upheld", batch)
        await court.completed()
        for fee, error in ((0, InvalidInput), (10 * CPC, InsufficientFunds)):
            with pytest.raises(error):
                opened(fee)
        with pytest.raises(Conflict, match="is the one that bought the task"):
            opened(FEE, key(12).address)
        court.appeal()
        assert not opened()
        for fee, customer in ((FEE + 1, alice), (FEE, key(12).address)):
            with pytest.raises(LedgerConflict):
                opened(fee, customer)
        court.rule("upheld")
        for outcome in ("inconclusive", "overturned"):
            with pytest.raises(SettlementConflict, match="is decided: upheld"):
                court.rule(outcome, batch)
        with pytest.raises(SettlementConflict, match="is decided"):
            opened()
        assert not batch.changes


async def test_when_the_pay_is_due_it_is_too_late(
    world: Any, key: Key, autojump_clock: trio.abc.Clock
) -> None:
    world.approving = False
    async with world.running(), world.market() as market:
        court = Court(world, market, key)
        await court.completed()
        await trio.sleep(2.5)
        with pytest.raises(Conflict, match="is due"):
            court.appeal()


async def test_which_signatures_count(small: Any, key: Key, autojump_clock: trio.abc.Clock) -> None:
    """Each member's once, under this award and no other."""
    small.approving = False
    async with small.running(), small.market() as market:
        court = Court(small, market, key)
        await court.completed()
        court.appeal()
        court.rule("upheld")
        rewards = market.settlement.rewards
        assert not list(rewards.unruled()), "the chain has no dispute yet"
        await until(lambda: list(rewards.unruled()))
        assert rewards.unsigned == 1
        (record,) = rewards.unruled()
        batch, award = Batch(), record.dispute.award
        good = sign_award(MEMBERS[0], CHAIN_ID, record.escrow_id, award)
        other = award_of("inconclusive", (), (), ())
        for bad in (
            sign_award(MEMBERS[0], CHAIN_ID, record.escrow_id, other),
            sign_award(MEMBERS[0], "another", record.escrow_id, award),
            Approval(public_key="ab" * 32, signature=good.signature),
        ):
            with pytest.raises(BadPayload):
                rewards.approve_award(batch, record, bad)
        assert not batch.changes
        old = msgspec.structs.replace(
            record, dispute=msgspec.structs.replace(record.dispute, award=other)
        )
        assert not rewards.approve_award(batch, old, good)
        assert rewards.approve_award(batch, record, good)
        assert not rewards.approve_award(batch, record, good)
        assert court.record.stage == "unruled"
        second = sign_award(MEMBERS[2], CHAIN_ID, record.escrow_id, award)
        assert rewards.approve_award(batch, record, second)
        third = sign_award(MEMBERS[1], CHAIN_ID, record.escrow_id, award)
        assert not rewards.approve_award(batch, record, third)
        market.db.stage(batch)
        await until(lambda: court.dispute.state == "ruled")


async def test_a_ruling_that_the_chain_refuses_makes_way(
    small: Any, key: Key, autojump_clock: trio.abc.Clock
) -> None:
    """It names somebody who signed nothing: no block takes it, and the customer waits for the
    escrow's own end."""
    async with small.running(), small.market() as market:
        court = Court(small, market, key)
        await court.completed(seconds=30)
        await court.disputed()
        batch = Batch()
        forged = vouched(TASK, 12, court.liar)
        forged.evidence["verdict"]["finding"] = "invalid"
        court.disputes.overturn(batch, TASK, FALSE, [forged], court.jurors, market.now_ms())
        market.db.stage(batch)
        await court.closed()
        assert court.record.state == "refunded"
        assert court.dispute.tries >= 1
        assert small.chain.tip.height > HOPELESS_BLOCKS
        assert free(market, court.alice.address) == 10 * CPC
        await until(lambda: not market.sender._book.has_open)
        await court.check()


def test_an_award_names_whom_its_outcome_is_about(key: Key) -> None:
    """In one order, each once, whatever it is made from."""
    acts = [vouched(TASK, number, key) for number, key in ((12, key(2)), (11, key(1)))]
    acts.append(acts[0])
    made = [award_of(one, "ba", ("2", "1"), acts) for one in ("upheld", "inconclusive")]
    assert [(one.jurors, one.false, one.culprits) for one in made] == [
        (("a", "b"), (), ()),
        ((), (), ()),
    ]
    full = award_of("overturned", "ba", ("2", "1"), acts)
    assert (full.jurors, full.false) == (("a", "b"), ("1", "2"))
    assert list(full.culprits) == sorted({one.address for one in acts})
    assert dict(zip(full.culprits, full.keys, strict=True)) == keys_of(acts)
    assert Amount(FEE) > RESERVE


async def test_a_jury_that_takes_longer_than_the_escrow(
    small: Any, key: Key, autojump_clock: trio.abc.Clock
) -> None:
    """Nobody may have it refunded before the dispute's own deadline and grace are over, and the
    market does not ask before."""
    small.approving = False
    async with small.running(), small.market() as market:
        court = Court(small, market, key)
        await court.completed(seconds=5)
        await court.disputed(jury_s=300)
        record = court.record
        grace = small.parameters.escrow_grace_blocks
        assert record.deadline < court.dispute.deadline
        assert record.late_height == court.dispute.deadline + grace
        court.rule("overturned")
        await court.closed()
        assert (court.record.state, court.record.tries) == ("refunded", 0)
        await court.check()


@pytest.mark.parametrize("when", ["before", "after"])
async def test_what_a_jury_found_false_is_not_claimed(
    small: Any, key: Key, autojump_clock: trio.abc.Clock, when: str
) -> None:
    """Whether it says so before or after the appeal was given up: the claim is signed, and the
    market does not send it; the customer has the reward by the clock."""
    wait(small, dispute_window_s=300.0)
    async with small.running(), small.market() as market:
        court = Court(small, market, key)
        await court.completed()
        await until(lambda: court.record.is_approved)
        left = small.balance(small.key.address) - 21 * 10**6
        small.submit(small.key, transfer(key(13).address, left))
        court.appeal()
        if when == "before":
            court.rule("overturned")
        await until(lambda: court.dispute.state == "failed")
        if when == "after":
            court.rule("overturned")
        assert free(market, court.alice.address) == 9 * CPC, "the fee is back"
        assert court.record.stage == "unruled"
        small.submit(key(12), transfer(small.key.address, CPC))
        await court.closed()
        assert court.record.state == "refunded"
        assert free(market, court.alice.address) == 10 * CPC
        assert not list(market.settlement.rewards.unruled())
        await court.check()


async def test_a_jury_that_is_late(small: Any, key: Key, autojump_clock: trio.abc.Clock) -> None:
    """The dispute lapsed while the market was away; its award still decides, if it is in a block
    before the claim."""
    small.approving = False
    async with small.running(), small.market() as market:
        court = Court(small, market, key)
        await court.completed(seconds=60)
        await court.disputed()
        await until(lambda: court.dispute.state == "lapsed")
        assert court.record.stage == "unsigned", "the pay goes on"
        court.rule("overturned")
        assert court.record.stage == "unruled", "and does not any more"
        sign_awards(market, MEMBERS)
        await court.closed()
        assert court.dispute.ruled == "overturned"
        assert free(market, court.alice.address) == 10 * CPC
        assert court.ended == [UNRULED]
        await court.check()


async def test_the_customer_takes_all_while_the_appeal_is_on_its_way(
    small: Any, key: Key, autojump_clock: trio.abc.Clock
) -> None:
    """In the first block in which the notice is over: the fee is still in the deposit, and gone
    with it."""
    wait(small, dispute_window_s=300.0)
    async with small.running(), small.market() as market:
        court = Court(small, market, key)
        await court.completed(seconds=600)
        left = small.balance(small.key.address) - 21 * 10**6
        small.submit(small.key, transfer(key(13).address, left))
        small.submit(court.alice, withdraw_all(small.key.address))
        free_height = small.chain.tip.height + 1 + MarketParameters().deposit_notice_blocks
        await until(lambda: small.chain.tip.height == free_height - 2)
        court.appeal()
        await until(lambda: court.dispute.state == "sent")
        await until(lambda: small.chain.tip.height == free_height - 1)
        small.submit(court.alice, withdraw_all(small.key.address))
        await until(lambda: court.dispute.state == "failed")
        assert small.chain.tip.height == free_height + 1, "which confirms it"
        small.submit(key(12), transfer(small.key.address, CPC))
        await court.closed()
        assert (court.told, free(market, court.alice.address)) == (["paid"], 0)
        await court.check()


async def test_an_award_that_comes_too_late_is_in_nobody_s_way(
    small: Any, key: Key, autojump_clock: trio.abc.Clock
) -> None:
    """A quorum's refund is in the block for which the market sent it: it is given up at once."""
    async with small.running(), small.market() as market:
        court = Court(small, market, key)
        await court.completed()
        await court.disputed()
        court.rule("upheld")
        await until(lambda: court.dispute.ruling)
        escrow_id, ruling = court.record.escrow_id, court.dispute.ruling
        signed = [sign_refund(one, CHAIN_ID, escrow_id) for one in MEMBERS[:2]]
        small.submit(key(12), refund_escrow(escrow_id, signed, gas_price=9_000))
        await court.closed()
        assert (court.record.state, court.dispute.state) == ("refunded", "lapsed")
        assert market.sender.find(ruling).state == "lost"
        assert court.told == ["reclaimed"]
        assert free(market, court.alice.address) == 10 * CPC
        await until(lambda: not market.sender._book.has_open)
        await court.check()
