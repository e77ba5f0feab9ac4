"""What may happen to a crowd of tasks, step by step, and what must have come of it."""

from collections import deque
from collections.abc import Iterable
from typing import Any

import trio

from node.amounts import UNITS_PER_CPC
from node.errors import Conflict, InsufficientFunds
from node.l1.devchain.holdings import Closed, escrow_key, units_of
from node.l1.escrow import deposit, refund_escrow, settle_escrow, withdraw_all
from node.l1.keys import AccountKey
from node.l1.transactions import Draft, transfer
from node.settlement.errors import SettlementConflict
from storage.errors import StorageFailed
from tests.unit.node.settlement.support.crowd import (
    ALICE,
    BOB,
    CHECKER,
    FIRST,
    NUMBERS,
    SECOND,
    WORKER,
    Crowd,
)
from tests.unit.node.settlement.support.escrows import call, check_copy, free

CPC = UNITS_PER_CPC
FUNDS = 10**9 * CPC
BLOCK_S, GRACE = 5.0, 3
LONGEST_S = 20_000.0
CUSTOMERS = {"alice": ALICE, "bob": BOB}
SETS = {"first": FIRST, "second": SECOND}
STRANGERS = (12, 13, 14, 15)
"""An account for each transaction, by turns: what is in no block keeps all after it waiting."""
REFUSALS = (Conflict, InsufficientFunds, SettlementConflict)
MOST = 4
"""Tasks bought by one step."""

Step = tuple[Any, ...]


class Steps:
    """Carries them out, through any number of deaths of the market."""

    def __init__(self, crowd: Crowd) -> None:
        crowd.under(escrow_grace_blocks=GRACE, escrow_block_s=BLOCK_S)
        self.crowd = crowd
        self.world = crowd.world
        self._bought = 0
        self._sets: dict[int, tuple[int, ...]] = {}
        """By tasks."""
        self._sent = 0
        self._dead = False

    async def run(self, steps: Iterable[Step]) -> None:
        waiting = deque([("begin",), *steps, ("finish",)])
        while waiting:
            try:
                async with self.world.market() as market, trio.open_nursery() as nursery:
                    nursery.start_soon(self.crowd.sign, market)
                    while waiting:
                        await getattr(self, waiting[0][0])(market, *waiting[0][1:])
                        await market.db.flushed()
                        waiting.popleft()
                        assert market.ledger.audit().ok
                    self.check(market)
                    nursery.cancel_scope.cancel()
            except* StorageFailed:
                pass

    async def begin(self, market: Any) -> None:
        await self.until(market.sender.ready.is_set)
        for name in CUSTOMERS:
            if not self.world.held(self._key(name).address):
                await self.deposit(market, name)

    async def deposit(self, market: Any, name: str) -> None:
        self._submit(self._key(name), deposit(self.world.key.address, 40 * CPC))
        await self.wait(market, 3)

    async def buy(self, market: Any, name: str, members: str, count: int, seconds: int) -> None:
        """Some tasks at once, as far as the customer can."""
        for number in range(self._bought, self._bought + count):
            self._sets[number] = SETS[members]
            try:
                self.crowd.buy(
                    market,
                    number,
                    customer=CUSTOMERS[name],
                    members=SETS[members],
                    seconds=seconds,
                )
            except REFUSALS:
                break
        await market.db.flushed()
        self._bought += count

    async def end(self, market: Any, count: int, how: str) -> None:
        """The first tasks that go on, with a result or without."""
        rewards = market.settlement.rewards
        for number in self._going_on(market)[:count]:
            try:
                if how == "settle":
                    self.crowd.end(market, number)
                else:
                    name = self.crowd.task_id(number)
                    call(market, lambda b, name=name: rewards.refund(b, name, market.now_ms()))
            except REFUSALS:
                pass

    async def give_notice(self, _market: Any, name: str) -> None:
        """Once more, after its time: take the rest out."""
        self._submit(self._key(name), withdraw_all(self.world.key.address))

    async def calm(self, _market: Any) -> None:
        """Everybody is there, and signs."""
        self.crowd.away, self.crowd.are_willing = set(), True

    async def away(self, _market: Any, *numbers: int) -> None:
        self.crowd.away = set(numbers)

    async def willing(self, _market: Any, are_willing: bool) -> None:
        self.crowd.are_willing = are_willing

    async def stranger(self, market: Any, place: int, gas_price: int) -> None:
        """Somebody closes an escrow: as its set has signed, or because it is late."""
        records = [one for one in market.settlement.book.active() if one.state == "open"]
        if not records:
            return
        record = records[place % len(records)]
        if record.claim is not None and record.is_approved:
            signed = record.escrow_id, record.claim, record.approvals
            draft = settle_escrow(*signed, gas_price=gas_price)
        else:
            draft = refund_escrow(record.escrow_id, gas_price=gas_price)
        self._sent += 1
        self._submit(self.crowd.key(STRANGERS[self._sent % len(STRANGERS)]), draft)

    async def take_nonce(self, _market: Any) -> None:
        """Something else has the market's key, and pays more."""
        self._submit(self.world.key, transfer(self.world.key.address, 1, gas_price=5_000))

    async def forget(self, _market: Any) -> None:
        self.world.forget()

    async def wait(self, _market: Any, blocks: float) -> None:
        await trio.sleep(blocks * BLOCK_S)

    async def crash(self, _market: Any, writes: int, keep: bool) -> None:
        self.world.store.fuse, self.world.store.keep = writes, keep

    async def die(self, _market: Any) -> None:
        """At once: what was staged and not flushed is lost."""
        self._dead = not self._dead
        if self._dead:
            raise StorageFailed("killed")

    async def finish(self, market: Any) -> None:
        """Nothing more happens."""
        self.world.store.fuse = None
        await self.calm(market)
        while left := self._going_on(market):
            await self.end(market, len(left), "refund")
            await self.wait(market, 1)
        await self.until(lambda: not list(market.settlement.book.active()))
        await self.wait(market, 3)
        await self.until(lambda: not market.sender.blocked)

    def check(self, market: Any) -> None:
        """Each task is paid or refunded, and everybody has what that gives, to the unit."""
        paid = {number for bundle in self.crowd.settled() for number in bundle}
        for number in range(self._bought):
            self._check_task(market, number, is_paid=number in paid)
        for name, customer in CUSTOMERS.items():
            own = sum(self._customer(market, number) == customer for number in paid)
            self._check_customer(market, name, own)
        check_copy(self.world, market, *(self._key(name).address for name in CUSTOMERS))
        names = {f"customer:{self._key(name).address}" for name in CUSTOMERS}
        assert {name for name, _ in market.ledger.holdings()} <= {*names, "l1"}
        self._check_payees(market, len(paid))

    def _check_task(self, market: Any, number: int, *, is_paid: bool) -> None:
        task_id, find = self.crowd.task_id(number), market.ledger.find
        record = self.crowd.record(market, number)
        if record is None:  # its customer could not pay
            return
        assert {NUMBERS[one.public_key] for one in record.members} == set(self._sets[number])
        name = escrow_key(record.escrow_id)
        closed = self.world.chain.holdings.records.get(name)
        assert closed is None or isinstance(closed, Closed)
        assert is_paid == bool(closed and closed.claim)
        assert record.state == ("settled" if is_paid else "refunded" if closed else "failed")
        assert is_paid == (find(f"mature:{task_id}") is not None)
        back = [find(f"refund:{one}") for one in (task_id, record.escrow_id)]
        assert any(back) != is_paid

    def _check_customer(self, market: Any, name: str, paid: int) -> None:
        address = self._key(name).address
        there = self.world.balance(address) + free(market, address)
        assert there == FUNDS - paid * CPC - self.world.fees_of(address)

    def _check_payees(self, market: Any, paid: int) -> None:
        world, rules = self.world, self.world.parameters
        labels = rules.burn_address, rules.treasury_address
        people = (*labels, *(self.crowd.key(number).address for number in (WORKER, CHECKER)))
        fees = world.fees_of(world.key.address)
        assert world.balance(world.key.address) == FUNDS + paid * rules.fee_reserve - fees
        assert sum(map(world.balance, people)) == paid * (CPC - rules.fee_reserve)
        assert self.crowd.paid() == paid
        held = sum(map(units_of, world.chain.holdings.records.values()))
        assert held == sum(free(market, self._key(name).address) for name in CUSTOMERS)

    def _customer(self, market: Any, number: int) -> int:
        address = self.crowd.record(market, number).customer
        return next(one for one in CUSTOMERS.values() if self.crowd.key(one).address == address)

    def _going_on(self, market: Any) -> list[int]:
        """Tasks that have an escrow, or will, and no end."""
        records = {number: self.crowd.record(market, number) for number in range(self._bought)}
        return [
            number
            for number, one in records.items()
            if one is not None and not one.ending and one.state in ("wanted", "sent", "open")
        ]

    def _key(self, name: str) -> AccountKey:
        return self.crowd.key(CUSTOMERS[name])

    def _submit(self, key: AccountKey, draft: Draft) -> None:
        """The chain may refuse it."""
        nonce = self.world.chain.first_free_nonce(key.address)
        self.world.chain.submit(draft.signed(key, nonce))

    @staticmethod
    async def until(condition: Any) -> None:
        with trio.fail_after(LONGEST_S):
            while not condition():  # noqa: ASYNC110 - under a virtual clock
                await trio.sleep(0.5)
