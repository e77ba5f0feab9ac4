"""Disputes about tasks on credit: the fee is lent, too, and comes back to where it came from."""

from typing import Any

import msgspec
import pytest
from trio.abc import Clock

from node.errors import InsufficientFunds
from node.settlement.chainescrows import BACKER_GONE
from tests.unit.node.settlement.support.escrows import (
    CPC,
    TASK,
    Key,
    copy_of,
    lease,
    reserve,
    restore,
    settle,
    take_out,
    until,
)
from tests.unit.node.settlement.support.juries import FEE, Court
from tests.unit.node.settlement.support.lending import Lending

CUSTOMER, OPERATOR = 10, 12
LIMIT = 2 * CPC


class LentCourt(Court):
    """A task that its customer bought with the operator's money."""

    def __init__(self, world: Any, market: Any, key: Any) -> None:
        super().__init__(world, market, key)
        self.desk = Lending(world, market, key)

    async def completed(self, seconds: float = 60) -> None:
        await self.desk.deposit(OPERATOR, 10 * CPC)
        self.desk.limit(CUSTOMER, LIMIT, backer=OPERATOR)
        reserve(self.market, self.alice.address)
        lease(self.world, self.market, seconds=seconds)
        await until(lambda: self.record.state == "open")
        settle(self.market, self.key)

    @property
    def owed(self) -> int:
        return int(self.desk.view(CUSTOMER).owed)

    async def check(self) -> None:
        self.desk.check(CUSTOMER, OPERATOR)
        self.desk.check_chain(CUSTOMER, OPERATOR)
        await super().check()


@pytest.fixture
def patient(world: Any) -> Any:
    """One whose pay waits for long, and where no other time is."""
    world.parameters = msgspec.structs.replace(
        world.parameters,
        escrow_block_s=5.0,
        escrow_grace_blocks=4,
        dispute_window_s=1_000.0,
        unbonding_s=2_000.0,
    )
    return world


@pytest.mark.parametrize(
    ("outcome", "owed"), [("upheld", CPC + FEE), ("inconclusive", CPC), ("overturned", 0)]
)
async def test_what_is_lost_is_owed(
    world: Any, key: Key, autojump_clock: Clock, outcome: str, owed: int
) -> None:
    async with world.running(), world.market() as market:
        court = LentCourt(world, market, key)
        await court.bonded()
        await court.completed()
        await court.disputed()
        assert court.owed == CPC + FEE
        assert world.held(key(OPERATOR).address) == 9 * CPC - FEE
        assert court.desk.write_off(CUSTOMER) == 0, "all of it may come back"
        court.rule(outcome)
        await court.closed()
        assert (court.owed, court.desk.left(CUSTOMER)) == (owed, LIMIT - owed)
        assert court.desk.free(OPERATOR) == 8 * CPC
        await court.check()


async def test_a_fee_beyond_the_credit_is_refused_whatever_is_the_customer_s_own(
    patient: Any, key: Key, autojump_clock: Clock
) -> None:
    """The chain would take it from the operator's deposit."""
    async with patient.running(), patient.market() as market:
        court = LentCourt(patient, market, key)
        await court.completed()
        await court.desk.deposit(CUSTOMER, 9 * CPC)
        with pytest.raises(InsufficientFunds, match=r"^0\.000000000000000001 CPC are missing"):
            court.appeal(CPC + 1)
        court.appeal(CPC)
        court.appeal(CPC)  # the same again, of which nothing is left
        assert (court.owed, court.desk.free(CUSTOMER)) == (2 * CPC, 9 * CPC)
        await until(lambda: court.dispute.state == "open")
        court.rule("inconclusive")
        await court.closed()
        assert (court.owed, court.desk.free(CUSTOMER)) == (CPC, 9 * CPC)
        await court.check()


async def test_a_dispute_that_is_never_on_the_chain_costs_nothing(
    patient: Any, key: Key, autojump_clock: Clock
) -> None:
    """The operator has taken its deposit out, before the fee could be put down."""
    async with patient.running(), patient.market() as market:
        court = LentCourt(patient, market, key)
        await court.completed(seconds=600)
        await court.desk.give_notice(OPERATOR)
        free = court.desk.notice_of(OPERATOR)
        assert free is not None
        height = free + market.settlement.terms.known.deposit_notice_blocks
        await until(lambda: patient.chain.tip.height >= height)
        court.appeal()
        await until(lambda: court.dispute.state == "failed")
        assert court.ended == [BACKER_GONE]
        assert court.owed == CPC
        await court.closed()
        await court.check()


async def test_the_operator_leaves_during_a_dispute(
    patient: Any, key: Key, autojump_clock: Clock
) -> None:
    """The fee is bound, and comes back into a credit of which nothing else is left."""
    async with patient.running(), patient.market() as market:
        court = LentCourt(patient, market, key)
        await court.completed(seconds=600)
        await court.disputed(jury_s=300)
        await take_out(patient, key(OPERATOR))
        await until(lambda: court.desk.view(CUSTOMER).limit == CPC + FEE)
        assert court.desk.left(CUSTOMER) == 0
        court.rule("inconclusive")
        await court.closed()
        assert (court.owed, court.desk.left(CUSTOMER)) == (CPC, FEE)
        await court.check()


async def test_a_restored_market_finds_whose_fee_it_was(
    patient: Any, key: Key, autojump_clock: Clock
) -> None:
    async with patient.running():
        async with patient.market() as market:
            court = LentCourt(patient, market, key)
            await court.completed(seconds=600)
            await until(lambda: court.record.is_approved)
            await market.db.flushed()
            backup = copy_of(patient)
            await court.disputed()
        restore(patient, backup)
        async with patient.market() as market:
            court = LentCourt(patient, market, key)
            await until(lambda: court.dispute and court.dispute.state == "open")
            assert market.ledger.balance(f"appeal:{TASK}") == FEE
            assert court.owed == CPC + FEE
            await court.closed()
            assert court.owed == CPC
            await court.check()
