"""Disputes and bonds whatever holds the money: both back ends promise the same, on a chain here."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import trio

from node.amounts import Amount
from node.errors import Conflict, InsufficientFunds, InvalidInput, NotFound
from node.settlement.bonds import Signer
from node.settlement.errors import LedgerConflict, SettlementConflict
from node.settlement.interface import BondBook, Disputes
from node.split import Payees
from storage.store import Batch
from tests.unit.node.settlement.support.escrows import (
    ANOTHER,
    CPC,
    TASK,
    Key,
    call,
    free,
    lease,
    paid_in,
    reserve,
    settle,
    until,
)
from tests.unit.node.settlement.support.juries import FALSE, FEE, bonding, identity_of, vouched

both = pytest.mark.parametrize("back_end", ["transfer", "escrow"])
RESERVE = 10**9
SHARE = (FEE - RESERVE) // 2
JURY_MS = 60_000
LIAR = 11


class Case:
    """A completed task of customer 10's at a market of either back end."""

    def __init__(self, world: Any, market: Any, key: Key) -> None:
        self.world, self.market, self.key = world, market, key
        self.disputes: Disputes = market.settlement.disputes
        self.bonds: BondBook = market.settlement.bonds
        self.alice, self.liar = key(10).address, key(LIAR).address
        self.jurors = [key(25).address, key(26).address]

    async def bonded(self, units: int = CPC) -> None:
        """The liar stakes so much, by whichever way there is."""
        if self.world.holds:
            draft = bonding(self.world.key.address, LIAR, self.key(LIAR), units)
            self.world.submit(self.key(LIAR), draft)
        else:
            await paid_in(self.world, self.market, self.key(LIAR), 2 * CPC)
            bond, now_ms = self.market.settlement.bonds.bond, self.market.now_ms()
            call(self.market, lambda one: bond(one, self.liar, units, key="b", at_ms=now_ms))
        await until(lambda: self.bonds.suffices(self.liar, units))

    async def completed(self) -> None:
        await paid_in(self.world, self.market, self.key(10))
        reserve(self.market, self.alice)
        releasers, rewards = self.world.releasers(10**15), self.market.settlement.rewards
        call(self.market, lambda batch: rewards.open(batch, TASK, lambda: releasers))
        settle(self.market, self.key)

    def waits_s(self, task: str, signer: Signer) -> float:
        """How long the pay of a task matures whose result has this signer."""
        market, settled = self.market, Batch()
        reserve(market, self.alice, task, CPC // 4)
        lease(self.world, market, task)
        payees, now_ms = Payees({signer.address: 1}, {}, self.jurors[0]), market.now_ms()
        due_ms = market.settlement.rewards.settle(settled, task, payees, now_ms, signers=[signer])
        market.db.stage(settled)
        return (due_ms - now_ms) / 1000

    def open(self, batch: Batch, fee: int = FEE, customer: str = "") -> bool:
        at_ms = self.market.now_ms()
        who = customer or self.alice
        return self.disputes.open(batch, TASK, who, fee, at_ms, until_ms=at_ms + JURY_MS)

    def rule(self, batch: Batch, outcome: str) -> bool:
        at_ms = self.market.now_ms()
        acts = [vouched(TASK, LIAR, self.key(LIAR))]
        ways: dict[str, Callable[[], bool]] = {
            "upheld": lambda: self.disputes.uphold(batch, TASK, self.jurors, at_ms),
            "inconclusive": lambda: self.disputes.give_up(batch, TASK, at_ms),
            "overturned": lambda: self.disputes.overturn(
                batch, TASK, FALSE, acts, self.jurors, at_ms
            ),
        }
        return ways[outcome]()


def world_of(make_world: Any, back_end: str, **changes: Any) -> Any:
    world = make_world(back_end=back_end)
    world.parameters = msgspec.structs.replace(world.parameters, **changes)
    return world


@both
@pytest.mark.parametrize("outcome", ["upheld", "inconclusive", "overturned"])
async def test_who_has_what_in_the_end(
    make_world: Any, key: Key, autojump_clock: trio.abc.Clock, back_end: str, outcome: str
) -> None:
    """Customer, worker, jurors and the bond, in the books and on the chain."""
    world = world_of(make_world, back_end)
    async with world.running(), world.market() as market:
        case = Case(world, market, key)
        await case.bonded()
        await case.completed()
        call(market, case.open)
        assert market.ledger.balance(f"appeal:{TASK}") == FEE
        await trio.sleep(30)
        assert market.ledger.balance(f"maturing:{TASK}") == CPC, "the pay is held"
        call(market, lambda batch: case.rule(batch, outcome))
        overturned = outcome == "overturned"
        await until(lambda: not market.ledger.balance(f"maturing:{TASK}"))
        await until(lambda: world.balance(key(20).address) == (0 if overturned else CPC // 4))
        lost = {"upheld": CPC + FEE, "inconclusive": CPC, "overturned": 0}[outcome]
        assert free(market, case.alice) == 10 * CPC - lost
        share = 0 if outcome == "inconclusive" else SHARE
        await until(lambda: [world.balance(one) for one in case.jurors] == [share] * 2)
        assert case.bonds.find(case.liar).bonded == (CPC // 2 if overturned else CPC)
        assert market.ledger.audit().ok


@both
async def test_what_is_refused_and_what_is_said_twice(
    make_world: Any, key: Key, autojump_clock: trio.abc.Clock, back_end: str
) -> None:
    """By the same errors, and nothing has been touched."""
    world = world_of(make_world, back_end)
    async with world.running(), world.market() as market:
        case, batch = Case(world, market, key), Batch()
        await paid_in(world, market, key(12), CPC)
        for early in (lambda: case.open(batch), lambda: case.rule(batch, "upheld")):
            with pytest.raises(NotFound):
                early()
        await case.completed()
        with pytest.raises(InvalidInput):
            case.open(batch, 0)
        with pytest.raises(InsufficientFunds):
            case.open(batch, 10 * CPC)
        call(market, case.open)
        assert not case.open(batch)
        for fee, customer in ((FEE + 1, ""), (FEE, key(12).address)):
            with pytest.raises(LedgerConflict):
                case.open(batch, fee, customer)
        call(market, lambda one: case.rule(one, "inconclusive"))
        assert not case.rule(batch, "inconclusive")
        for outcome in ("upheld", "overturned"):
            with pytest.raises(SettlementConflict, match="is decided: inconclusive"):
                case.rule(batch, outcome)
        with pytest.raises(SettlementConflict, match="is decided"):
            case.open(batch)
        assert not batch.changes


@both
async def test_pay_that_is_due_is_not_disputed(
    make_world: Any, key: Key, autojump_clock: trio.abc.Clock, back_end: str
) -> None:
    world = world_of(make_world, back_end)
    world.approving = False
    async with world.running(), world.market() as market:
        case = Case(world, market, key)
        await case.completed()
        due_ms = market.settlement.rewards.due_ms(TASK)
        batch = Batch()
        with pytest.raises(Conflict, match="is due"):
            case.disputes.open(batch, TASK, case.alice, FEE, due_ms, until_ms=due_ms + 1)
        assert not batch.changes
        assert case.disputes.open(batch, TASK, case.alice, FEE, due_ms - 1, until_ms=due_ms)


@both
async def test_what_a_bond_buys(
    make_world: Any, key: Key, autojump_clock: trio.abc.Clock, back_end: str
) -> None:
    """And nothing that the market has to give back stays due."""
    world = world_of(make_world, back_end, worker_bond=Amount(CPC), unbonded_wait_s=9.0)
    async with world.running(), world.market() as market:
        case = Case(world, market, key)
        bonds, batch = case.bonds, Batch()
        own, strange = (identity_of(number).public_key for number in (LIAR, 12))
        signer, other = Signer(case.liar, own), Signer(case.liar, strange)
        short_s = world.parameters.dispute_window_s
        assert bonds.window_s([signer]) == short_s + 9.0
        assert bonds.suffices(case.liar, 0)
        assert not bonds.suffices(case.liar, 1)
        stake = case.disputes.at_stake(case.liar)
        assert (stake.bonded, stake.unbonding, stake.release_ms) == (0, 0, None)
        await case.bonded()
        assert bonds.suffices(case.liar, CPC)
        assert not bonds.suffices(case.liar, CPC + 1)
        assert bonds.suffices(case.liar, CPC, key=own)
        assert bonds.suffices(case.liar, CPC, key=strange) == (back_end == "transfer")
        assert bonds.suffices(case.liar, 0, key=strange)
        assert bonds.window_s([signer]) == short_s
        assert bonds.window_s([signer, Signer(case.alice, own)]) == short_s + 9.0
        vouched = back_end == "transfer"  # there a bond is its account's, with any key
        assert bonds.window_s([signer, other]) == short_s + (0.0 if vouched else 9.0)
        await paid_in(world, market, key(10))
        assert case.waits_s(TASK, signer) == short_s
        assert case.waits_s(ANOTHER, other) == short_s + (0.0 if vouched else 9.0)
        assert case.disputes.at_stake(case.liar) == bonds.find(case.liar)
        assert list(bonds.due(2**62)) == []
        assert not bonds.release(batch, case.liar, 2**62)
        bonds.hold(batch, [case.liar], 0, market.now_ms())
        assert not batch.changes
