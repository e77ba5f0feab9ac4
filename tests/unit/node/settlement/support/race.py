"""One task's escrow at a market on a development chain, and everybody who may close it."""

from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec
import trio

from node.amounts import UNITS_PER_CPC
from node.errors import Conflict, InsufficientFunds, NotFound
from node.l1.devchain.holdings import Closed, escrow_key
from node.l1.escrow import (
    Approval,
    refund_escrow,
    rule_escrow,
    settle_escrow,
    sign_award,
    sign_claim,
    sign_refund,
)
from node.l1.keys import AccountKey
from node.l1.transactions import Draft
from node.settlement.errors import SettlementConflict
from node.settlement.escrow_claims import award_of, claim_of
from node.settlement.escrow_rewards import ending_message
from node.split import Payees, split
from p2p.identity import Identity
from storage.errors import StorageFailed
from storage.store import Batch
from tests.unit.node.settlement.support.juries import FALSE, sign_awards, vouched

CPC = UNITS_PER_CPC
CHAIN = "cpc-devnet-1"
TASK, NEXT = (f"00000000-0000-8000-8000-00000000000{number}" for number in (1, 2))
MEMBERS = tuple(Identity.from_seed(bytes([number]) * 32) for number in (41, 42, 43))
NEEDED = 2
BLOCK_S, GRACE, LEASE_S = 5.0, 3, 20
REFUSALS = (Conflict, InsufficientFunds, NotFound, SettlementConflict)
CUSTOMER, WORKER, CHECKER = 10, 20, 21
STRANGERS = {"claim": 11, "refund": 12, "late refund": 13}
"""An account for each: what is never in a block would keep all after it waiting."""
RULERS = {"upheld": 14, "inconclusive": 15, "overturned": 16}
"""The same of who sends awards."""
FEE = CPC // 10 + 8
JURY_S = 20
JURORS = (25, 26)
LIAR = 17
"""Who signed that a false result is valid."""

Key = Callable[[int], AccountKey]
Step = tuple[Any, ...]


class Race:
    """One task's escrow, and everybody who may close it."""

    def __init__(self, make_world: Any, key: Key) -> None:
        world = make_world(back_end="escrow")
        world.approving = False
        world.parameters = msgspec.structs.replace(
            world.parameters, escrow_grace_blocks=GRACE, escrow_block_s=BLOCK_S
        )
        self.world = world
        self.key = key
        self.told: set[str] = set()
        self.told_before: set[str] | None = None
        """What was told when the jury found the result false; nothing is after that."""
        self.wanted = ""
        checker = key(CHECKER).address
        self.payees = Payees({key(WORKER).address: 1}, {checker: 1}, checker)
        self.claim = claim_of(self.payees, ())
        self.sent: set[str] = set()
        self.dead = False
        self.given_away = 0
        """What the market's account sent to others."""

    async def run(self, steps: list[Step]) -> None:
        """Through any number of crashes, then to the end."""
        waiting = deque([("buy",), *steps, ("finish",), ("go_on",)])
        while waiting:
            try:
                async with self.world.market() as market:
                    rewards = market.settlement.rewards
                    rewards.on_paid = lambda _batch, task: self._tell("paid", task)
                    rewards.on_reclaimed = lambda _batch, task: self._tell("reclaimed", task)
                    while waiting:
                        await getattr(self, waiting[0][0])(market, *waiting[0][1:])
                        waiting.popleft()
                        assert market.ledger.audit().ok
                    self.check(market)
            except* StorageFailed:
                pass

    async def buy(self, market: Any) -> None:
        """A task with an open escrow."""
        account = f"customer:{self.key(CUSTOMER).address}"
        if market.ledger.find(f"reserve:{TASK}") is None:
            if not self.world.held(self.key(CUSTOMER).address):
                self.world.deposit(self.key(CUSTOMER), 10 * CPC)
            await until(lambda: market.ledger.balance(account))
            await self.reserve(market, TASK)
        await until(lambda: self._escrow(market, TASK).state == "open")

    async def end(self, market: Any, how: str) -> None:
        """The market wants one of the two, if it has not wanted the other before."""
        rewards, batch = market.settlement.rewards, Batch()
        try:
            if how == "settle":
                rewards.settle(batch, TASK, self.payees, market.now_ms())
            else:
                rewards.refund(batch, TASK, market.now_ms())
        except REFUSALS:
            return
        await market.db.commit(batch)
        self.wanted = self._escrow(market, TASK).ending or self.wanted

    async def appeal(self, market: Any) -> None:
        """The customer disputes the result, while its pay is not due."""
        disputes, batch, now_ms = market.settlement.disputes, Batch(), market.now_ms()
        customer, until_ms = self.key(CUSTOMER).address, now_ms + JURY_S * 1000
        try:
            disputes.open(batch, TASK, customer, FEE, now_ms, until_ms=until_ms)
        except REFUSALS:
            return
        await market.db.commit(batch)

    async def rule(self, market: Any, outcome: str) -> None:
        """The market's jury came to this, if it did not come to something else before."""
        disputes, batch, now_ms = market.settlement.disputes, Batch(), market.now_ms()
        jurors = [self.key(number).address for number in JURORS]
        acts = [vouched(TASK, LIAR, self.key(LIAR))]
        ways = {
            "upheld": lambda: disputes.uphold(batch, TASK, jurors, now_ms),
            "inconclusive": lambda: disputes.give_up(batch, TASK, now_ms),
            "overturned": lambda: disputes.overturn(batch, TASK, FALSE, acts, jurors, now_ms),
        }
        try:
            ways[outcome]()
        except REFUSALS:
            return
        if outcome == "overturned" and batch:
            self.told_before = set(self.told)
        await market.db.commit(batch)

    async def decide(self, market: Any, outcome: str) -> None:
        """The jury comes to this once the chain has the dispute, and the set signs it."""
        await self.wait(market, 2.0)
        await self.rule(market, outcome)
        await self.sign(market, NEEDED)

    async def award(self, market: Any, outcome: str, gas_price: int = 9_000) -> None:
        """Somebody sends an award that a quorum signed, whatever the market's jury came to."""
        if outcome in self.sent:
            return
        escrow_id, sender = self._escrow(market, TASK).escrow_id, self.key(RULERS[outcome])
        jurors = [self.key(number).address for number in JURORS]
        acts = [vouched(TASK, LIAR, self.key(LIAR))] if outcome == "overturned" else []
        award = award_of(outcome, jurors, FALSE, acts)
        signed = [sign_award(one, CHAIN, escrow_id, award) for one in MEMBERS[1:]]
        draft = rule_escrow(escrow_id, award, acts, signed, gas_price=gas_price)
        nonce = self.world.chain.first_free_nonce(sender.address)
        _, problem = self.world.chain.submit(draft.signed(sender, nonce))
        if not problem:
            self.sent.add(outcome)

    async def sign(self, market: Any, count: int) -> None:
        """So many of the set sign what the market wants, of endings and awards."""
        sign_awards(market, MEMBERS[:count])
        for record in list(market.settlement.rewards.unapproved()):
            message, batch = ending_message(record, CHAIN), Batch()
            for one in MEMBERS[:count]:
                approval = Approval(
                    public_key=one.public_key.hex(), signature=one.sign(message).hex()
                )
                market.settlement.rewards.approve(batch, record, approval)
            await market.db.commit(batch)

    async def stranger(self, market: Any, what: str, gas_price: int = 9_000) -> None:
        """Somebody sends what closes the escrow, before the market or after it by the price."""
        if what in self.sent:
            return
        escrow_id = self._escrow(market, TASK).escrow_id
        signers = MEMBERS[1:]
        drafts: dict[str, Callable[[], Draft]] = {
            "claim": lambda: settle_escrow(
                escrow_id,
                self.claim,
                [sign_claim(one, CHAIN, escrow_id, self.claim) for one in signers],
                gas_price=gas_price,
            ),
            "refund": lambda: refund_escrow(
                escrow_id,
                [sign_refund(one, CHAIN, escrow_id) for one in signers],
                gas_price=gas_price,
            ),
            "late refund": lambda: refund_escrow(escrow_id, gas_price=gas_price),
        }
        sender = self.key(STRANGERS[what])
        nonce = self.world.chain.first_free_nonce(sender.address)
        _, problem = self.world.chain.submit(drafts[what]().signed(sender, nonce))
        if not problem:
            self.sent.add(what)

    async def wait(self, _market: Any, blocks: float) -> None:
        await trio.sleep(blocks * BLOCK_S)

    async def late(self, market: Any) -> None:
        """Deadline and grace pass."""
        height = self._escrow(market, TASK).late_height
        await until(lambda: self.world.chain.tip.height >= height)

    async def crash(self, _market: Any, writes: int, keep: bool) -> None:
        self.world.store.fuse, self.world.store.keep = writes, keep

    async def die(self, _market: Any) -> None:
        """At once: what was staged and not flushed is lost."""
        self.dead = not self.dead
        if self.dead:
            raise StorageFailed("killed")

    async def finish(self, market: Any) -> None:
        """Nobody does anything more; what the market did not want yet ends with a refund."""
        self.world.store.fuse = None
        await self.end(market, "refund")
        await until(lambda: isinstance(self.closed(market), Closed))
        await until(lambda: self._escrow(market, TASK).state in ("settled", "refunded"))

    async def go_on(self, market: Any) -> None:
        """Nothing keeps the market's account from what comes next."""
        if market.ledger.find(f"reserve:{NEXT}") is None:
            self.world.forget()  # strangers' own, which no block can take
            await self.reserve(market, NEXT)
        await until(lambda: self._escrow(market, NEXT).state == "open")
        batch = Batch()
        market.settlement.rewards.refund(batch, NEXT, market.now_ms())
        await market.db.commit(batch)
        await self.sign(market, NEEDED)
        await until(lambda: self._escrow(market, NEXT).state == "refunded")

    def closed(self, market: Any) -> object:
        """What the chain has of the escrow."""
        return self.world.chain.holdings.records.get(
            escrow_key(self._escrow(market, TASK).escrow_id)
        )

    def check(self, market: Any) -> None:
        """The chain decided; the books say the same, and everybody heard it."""
        closed, record = self.closed(market), self._escrow(market, TASK)
        assert isinstance(closed, Closed)
        is_paid, dispute = bool(closed.claim), record.dispute
        ruled = dispute.ruled if dispute else None
        assert record.state == ("settled" if is_paid else "refunded")
        customer = self.key(CUSTOMER).address
        left = 10 * CPC - CPC * is_paid - FEE * (ruled == "upheld")
        assert market.ledger.balance(f"customer:{customer}") == left == self.world.held(customer)
        rules = self.world.parameters
        parts = split(CPC, rules.shares, self.payees, rules.fee_reserve)
        for number, paid in ((WORKER, parts.workers), (CHECKER, parts.validators)):
            wanted = sum(units for _, units in paid) if is_paid else 0
            assert self.world.balance(self.key(number).address) == wanted
        for number in JURORS:
            share = (FEE - rules.fee_reserve) // 2 if ruled == "upheld" else 0
            assert self.world.balance(self.key(number).address) == share
        assert bool(ruled) == (closed.award is not None)
        held = {name for name, _ in market.ledger.holdings()}
        assert held == {"l1", f"customer:{customer}"}
        completed = market.ledger.find(f"settle:{TASK}") is not None
        expected = {"paid" if is_paid else "reclaimed"} if completed else set()
        assert self.told == (expected if self.told_before is None else self.told_before)

    async def reserve(self, market: Any, task: str, *, is_leased: bool = True) -> None:
        rewards, batch = market.settlement.rewards, Batch()
        rewards.reserve(batch, task, self.key(CUSTOMER).address, CPC, market.now_ms())
        releasers = self.world.releasers(market.now_ms() + LEASE_S * 1000)
        if is_leased:
            rewards.open(batch, task, lambda: releasers)
        await market.db.commit(batch)

    def _escrow(self, market: Any, task: str) -> Any:
        return market.settlement.rewards.escrow(task)

    def _tell(self, what: str, task: str) -> None:
        assert task == TASK
        self.told.add(what)


async def until(condition: Callable[[], object]) -> None:
    with trio.fail_after(1000):
        while not condition():  # noqa: ASYNC110 - under a virtual clock
            await trio.sleep(0.25)
