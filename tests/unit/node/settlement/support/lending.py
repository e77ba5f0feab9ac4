"""A market on a development chain that gives credit, whichever back end it has."""

from typing import Any

import trio

from node.amounts import UNITS_PER_CPC
from node.l1.escrow import deposit, withdraw_all
from node.l1.transactions import Draft, Transaction, transfer, tx_hash
from node.settlement import accounts
from node.split import Payees
from storage.store import Batch
from tests.unit.node.settlement.support.escrows import Key, call, until
from tests.unit.node.settlement.support.tasks import task_id_of

CPC = UNITS_PER_CPC
OPERATOR, CUSTOMER, OTHER, WORKER, CHECKER = 10, 11, 12, 20, 21
OPEN_S = 10 * 3600
"""Deadline of every task: longer than any test."""


class Lending:
    """Everybody by numbers, tasks by names; what is asked of the chain waits until it is booked."""

    def __init__(self, world: Any, market: Any, key: Key) -> None:
        self.world = world
        self.market = market
        self.key = key
        rewards = market.settlement.rewards
        rewards.on_unfunded = lambda batch, task, _: rewards.refund(batch, task, market.now_ms())

    def free(self, number: int) -> int:
        """What somebody has in the market's books, to buy with or take out."""
        return int(self.market.ledger.balance(accounts.customer(self.key(number).address)))

    def left(self, number: int) -> int:
        """What somebody may still buy for on credit."""
        view = self.view(number)
        return int(view.limit - view.owed)

    def view(self, number: int) -> Any:
        return self.market.settlement.credit.view(self.key(number).address)

    def limit(self, number: int, units: int, *, backer: int = OPERATOR) -> None:
        customer, backed_by = self.key(number).address, self.key(backer).address
        credit, now_ms = self.market.settlement.credit, self.market.now_ms()
        call(
            self.market,
            lambda batch: credit.set_limit(batch, customer, units, backer=backed_by, at_ms=now_ms),
        )

    def write_off(self, number: int) -> int:
        batch, credit = Batch(), self.market.settlement.credit
        done = credit.write_off(batch, self.key(number).address, self.market.now_ms())
        self.market.db.stage(batch)
        return int(done)

    def reserve(self, task: str, number: int, units: int) -> None:
        customer, rewards = self.key(number).address, self.market.settlement.rewards
        name, now_ms = task_id_of(task), self.market.now_ms()
        call(self.market, lambda batch: rewards.reserve(batch, name, customer, units, now_ms))

    def lease(self, task: str) -> None:
        releasers = self.world.releasers(self.market.now_ms() + OPEN_S * 1000)
        rewards, name = self.market.settlement.rewards, task_id_of(task)
        call(self.market, lambda batch: rewards.open(batch, name, lambda: releasers))

    def refund(self, task: str) -> None:
        rewards, now_ms = self.market.settlement.rewards, self.market.now_ms()
        call(self.market, lambda batch: rewards.refund(batch, task_id_of(task), now_ms))

    def settle(self, task: str) -> None:
        self.lease(task)
        checker = self.key(CHECKER).address
        payees = Payees({self.key(WORKER).address: 1}, {checker: 1}, checker)
        rewards, now_ms = self.market.settlement.rewards, self.market.now_ms()
        call(self.market, lambda batch: rewards.settle(batch, task_id_of(task), payees, now_ms))

    async def rest(self) -> None:
        """Until everything that has ended is paid, or given back, and nothing is on its way."""
        await until(lambda: not self._moving())

    def _moving(self) -> list[str]:
        kinds = ("maturing:", "returning:", "outbox:withdraw")
        return [name for kind in kinds for name, _ in self.market.ledger.holdings(kind)]

    def submit(self, number: int, draft: Draft) -> Transaction:
        """Hand a transaction in; raises AssertionError with the chain's own words."""
        chain, key = self.world.chain, self.key(number)
        tx = draft.signed(key, chain.first_free_nonce(key.address))
        _, problem = chain.submit(tx)
        assert not problem, problem
        return tx

    async def _booked(self, tx: Transaction, kind: str) -> None:
        await until(lambda: self.market.ledger.find(f"{kind}:{tx_hash(tx)}:{tx.nonce}"))

    async def deposit(self, number: int, units: int) -> None:
        pay_in = deposit if self.world.holds else transfer
        await self._booked(self.submit(number, pay_in(self.world.key.address, units)), "deposit")

    async def repay(self, number: int, units: int, *, backer: int = OPERATOR) -> None:
        """Pay a debt back; where the market holds the money, every deposit does."""
        market, owner = self.world.key.address, self.key(backer).address
        if self.world.holds:
            tx = self.submit(number, deposit(market, units, customer=owner))
        else:
            tx = self.submit(number, transfer(market, units))
        await self._booked(tx, "deposit")

    async def withdraw(self, number: int, units: int, name: str = "k") -> None:
        customer, settlement = self.key(number).address, self.market.settlement
        now_ms = self.market.now_ms()
        call(
            self.market,
            lambda batch: settlement.withdraw(batch, customer, units, key=name, at_ms=now_ms),
        )
        await self.rest()

    def notice_of(self, number: int) -> int | None:
        """Block of somebody's notice, as the books have it."""
        height = self.market.settlement._notices.height(self.key(number).address)
        return None if height is None else int(height)

    async def give_notice(self, number: int) -> None:
        self.submit(number, withdraw_all(self.world.key.address))
        await until(lambda: self.notice_of(number) is not None)

    async def take_out(self, number: int) -> None:
        """What the chain has of somebody's, after the notice."""
        notice = self.notice_of(number)
        assert notice is not None
        free = notice + self.market.settlement.terms.known.deposit_notice_blocks
        await until(lambda: self.world.chain.tip.height + 1 >= free)
        if self.world.held(self.key(number).address):
            tx = self.submit(number, withdraw_all(self.world.key.address))
            await self._booked(tx, "sent")

    def check(self, *numbers: int) -> None:
        """The books are sound, and no more is owed than was given."""
        market, credit = self.market, self.market.settlement.credit
        report = market.ledger.audit()
        assert report.ok, report.findings
        assert self.world.holds or report.owed == sum(one.owed for one in credit.views())
        if self.world.holds:
            assert list(credit.findings()) == []
            for number in numbers:
                account = accounts.credit(self.key(number).address)
                assert self.free(number) >= 0
                assert market.ledger.balance(account) >= self.left(number) >= 0

    def check_chain(self, *numbers: int) -> None:
        """At rest everybody's deposit is what the books say is theirs and what they gave."""
        for number in numbers if self.world.holds else ():
            address = self.key(number).address
            lent = self.market.settlement.credit.backed_by(address)
            units = self.free(number) + sum(map(self.market.ledger.balance, lent))
            queued = sum(self._queued(number, lent))
            assert self.world.held(address) == units + queued

    def _queued(self, number: int, lent: list[str]) -> list[int]:
        """What is reserved out of somebody's deposit, and in no escrow yet."""
        mine = {accounts.customer(self.key(number).address), *lent}
        ledger, rewards = self.market.ledger, self.market.settlement.rewards
        found = []
        for name, units in ledger.holdings("reserved:"):
            task_id = name.removeprefix("reserved:")
            record = rewards.escrow(task_id)
            payer = ledger.find(f"reserve:{task_id}").postings[0].account
            if payer in mine and (record is None or record.state in ("wanted", "sent")):
                found.append(units)
        return found


async def blocks(world: Any, count: int = 2) -> None:
    """Wait for so many blocks."""
    height = world.chain.tip.height + count
    with trio.fail_after(1000):
        await until(lambda: world.chain.tip.height >= height)
