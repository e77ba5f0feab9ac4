"""Who is bonded, who signed false results, and how awards are signed, where the chain checks it."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

import trio

from node.keys import bind
from node.l1.errors import L1Error
from node.l1.escrow import Act, bond, rule_escrow, sign_award
from node.l1.keys import AccountKey
from node.l1.transactions import Draft
from node.settlement.escrow_audit import held_by_chain
from node.settlement.escrow_claims import award_of
from node.verification.acts import SignedVerdict
from node.verification.jsonable import to_jsonable
from node.verification.statements import Verdict, sign_verdict
from p2p.identity import Identity
from storage.store import Batch
from tests.unit.node.settlement.support.escrows import (
    CPC,
    TASK,
    buy,
    call,
    check_copy,
    settle,
    until,
)

T = TypeVar("T")
CHAIN_ID = "cpc-devnet-1"
LOOK_S = 0.5
FALSE_HASH = b"\xab" * 32
FALSE = (FALSE_HASH.hex(),)
FEE = CPC // 10 + 7
JURY_S = 20.0
MEMBERS = tuple(Identity.from_seed(bytes([number]) * 32) for number in (41, 42, 43))
"""Who may sign an award here."""


def identity_of(number: int) -> Identity:
    """The node's key of whoever has this number's account."""
    return Identity.from_seed(number.to_bytes(32, "little"))


def bonding(market: str, number: int, account: AccountKey, units: int) -> Draft:
    """A BOND of this number's account for its node's key."""
    return bond(market, units, bind(identity_of(number), account, CHAIN_ID))


def vouched(task_id: str, number: int, account: AccountKey) -> Act:
    """That the false result is valid, signed by this number's node."""
    verdict = Verdict(
        task_id=task_id,
        epoch=1,
        redraw=0,
        nonce=6,
        worker_address=account.address,
        result_hash=FALSE_HASH,
        finding="valid",
        seed=bytes(32),
        validator_key=b"",
    )
    signed = sign_verdict(verdict, CHAIN_ID, identity_of(number))
    return Act(address=account.address, evidence=to_jsonable(SignedVerdict(signed)))


def sign_awards(market: Any, members: Any) -> None:
    """Of each escrow whose award lacks signatures, as many members sign as it needs."""
    rewards = market.settlement.rewards
    for record in list(rewards.unruled()):
        for identity in members:
            batch = Batch()
            approval = sign_award(identity, CHAIN_ID, record.escrow_id, record.dispute.award)
            rewards.approve_award(batch, record, approval)
            if batch:
                market.db.stage(batch)


class Court:
    """One completed task of customer 10's, disputed for a fee; 11 answers for its result, 25 and 26
    sit in the jury."""

    def __init__(self, world: Any, market: Any, key: Any) -> None:
        self.world, self.market, self.key = world, market, key
        self.alice, self.liar = key(10), key(11)
        self.jurors = [key(25).address, key(26).address]
        self.ended: list[str] = []
        self.told: list[str] = []
        self.disputes = market.settlement.disputes
        rewards = market.settlement.rewards
        self.disputes.on_ended = lambda _batch, _task, why: self.ended.append(why)
        rewards.on_paid = lambda _batch, _task: self.told.append("paid")
        rewards.on_reclaimed = lambda _batch, _task: self.told.append("reclaimed")

    @property
    def record(self) -> Any:
        return self.market.settlement.rewards.escrow(TASK)

    @property
    def dispute(self) -> Any:
        return self.record.dispute

    async def bonded(self, units: int = CPC) -> None:
        """The liar bonds so much, and the books know it."""
        self.world.submit(self.liar, bonding(self.world.key.address, 11, self.liar, units))
        await until(lambda: self.bond == units)

    async def completed(self, seconds: float = 60) -> None:
        """The task is bought, its escrow open, and its result found valid."""
        await buy(self.world, self.market, self.alice, seconds=seconds)
        await until(lambda: self.record.state == "open")
        settle(self.market, self.key)

    def appeal(self, fee: int = FEE, *, jury_s: float = JURY_S) -> None:
        now_ms = self.market.now_ms()
        until_ms = now_ms + round(jury_s * 1000)
        call(
            self.market,
            lambda batch: self.disputes.open(
                batch, TASK, self.alice.address, fee, now_ms, until_ms=until_ms
            ),
        )

    async def disputed(self, fee: int = FEE, *, jury_s: float = JURY_S) -> None:
        """Until the chain has the dispute, and the books know."""
        self.appeal(fee, jury_s=jury_s)
        await until(lambda: self.dispute.state == "open")

    def rule(self, outcome: str, batch: Batch | None = None) -> bool:
        """The jury came to this; in a batch of its own unless one is given."""
        own, now_ms = Batch(), self.market.now_ms()
        into = own if batch is None else batch
        acts = [vouched(TASK, 11, self.liar)]
        ways: dict[str, Callable[[], bool]] = {
            "upheld": lambda: self.disputes.uphold(into, TASK, self.jurors, now_ms),
            "inconclusive": lambda: self.disputes.give_up(into, TASK, now_ms),
            "overturned": lambda: self.disputes.overturn(
                into, TASK, FALSE, acts, self.jurors, now_ms
            ),
        }
        done = ways[outcome]()
        self.market.db.stage(own)
        return done

    def ruling(self, outcome: str, gas_price: int = 9_000) -> Draft:
        """An ESCROW_RULE of anybody's, signed by two of the set, whatever the jury came to."""
        acts = [vouched(TASK, 11, self.liar)] if outcome == "overturned" else []
        award = award_of(outcome, self.jurors, FALSE, acts)
        escrow_id = self.record.escrow_id
        signed = [sign_award(one, CHAIN_ID, escrow_id, award) for one in MEMBERS[1:]]
        return rule_escrow(escrow_id, award, acts, signed, gas_price=gas_price)

    @property
    def bond(self) -> int:
        return int(self.market.ledger.balance(f"bond:{self.liar.address}"))

    async def closed(self) -> None:
        await until(lambda: self.record.state in ("settled", "refunded"))

    async def check(self) -> None:
        """Nothing is held without a cause, and the books are a copy of the chain."""
        market, world = self.market, self.world
        await check_chain(world, market)
        check_copy(world, market, self.alice.address)
        kinds = {name.partition(":")[0] for name, _ in market.ledger.holdings()}
        assert kinds <= {"l1", "customer", "credit", "bond", "unbonding"}
        assert not list(market.settlement.rewards.due(2**62))
        assert not list(market.settlement.rewards.unruled())


async def answered(question: Callable[[], Awaitable[T]]) -> T:
    """What a chain says in the end, which may lose its answers, or cut them."""
    while True:
        try:
            return await question()
        except L1Error:
            await trio.sleep(LOOK_S)


async def check_chain(world: Any, market: Any) -> None:
    """All that the books hold is what the chain holds, while nothing is under way."""
    ledger, book, credit = market.ledger, market.settlement.book, market.settlement.credit
    ask, here = world.client, world.key.address
    on_chain = await answered(lambda: held_by_chain(ask, ledger, book, credit, here))
    assert on_chain == -ledger.balance("l1")
    bonds = market.settlement.bonds
    for address in bonds.known():
        view = await answered(partial(ask.bond, here, address))
        stake = bonds.find(address)
        assert (view.amount, sum(one.amount for one in view.unbonding)) == (
            stake.bonded,
            stake.unbonding,
        )
