"""Thousands of tasks in waves at a market whose money the chain holds, and how each has to end.

What must come of them is counted here by the published shares, without the ledger and without the
code that divides rewards.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import trio

from node.amounts import UNITS_PER_CPC
from node.l1.keys import AccountKey
from node.split import Payees
from storage.errors import StorageFailed
from storage.store import Batch
from tests.unit.node.settlement.support.tasks import task_id_of

CUSTOMER = 10
TOGETHER = 30
"""Tasks of a wave."""
WAVE_S = 7.0
"""More than a block and less than two, so that a wave begins at every time between two blocks."""
GIVEN_BACK = 20
"""After so many results one task ends without any."""
DEADLINE_MS = 100 * 3_600_000
LONGEST_S = 3 * 3_600

Key = Callable[[int], AccountKey]
Check = Callable[["Throng", Any], None]


class Sold(NamedTuple):
    """One task."""

    task_id: str
    reward: int
    payees: Payees | None
    """None: it ends without a result."""


class Throng:
    """A customer who buys all of it from one market, which may be killed meanwhile."""

    def __init__(self, world: Any, key: Key, results: int, *, is_mortal: bool = False) -> None:
        """`is_mortal`: the market dies again and again, at some write of its store."""
        self.world = world
        self.customer = key(CUSTOMER)
        self.tasks = tuple(_tasks(key, results))
        self.deposited = sum(one.reward for one in self.tasks) + UNITS_PER_CPC
        self.withdrawals: list[int] = []
        """Units of each."""
        self.fee = 0
        """What the chain took of the customer for the deposit."""
        labels = world.parameters.burn_address, world.parameters.treasury_address
        who = {address for one in self.tasks if one.payees for address in one.payees.addresses}
        self.payees = (*sorted(who), *labels)
        self.kills = 0
        self._is_mortal = is_mortal
        starts = range(0, len(self.tasks), TOGETHER)
        self._waves = deque((("pay_in",), *(("wave", start) for start in starts), ("finish",)))

    async def run(self, check: Check, check_ends: Check) -> None:
        """Pay in, buy, end and withdraw, and wait until nothing is under way; look after each wave
        and in the end. A step at which the market died is done again by the next one."""
        while self._waves:
            try:
                async with self.world.market() as market:
                    while self._waves:
                        step, *more = self._waves[0]
                        await getattr(self, f"_{step}")(market, *more)
                        self._waves.popleft()
                        check(self, market)
                    check_ends(self, market)
            except* StorageFailed:
                self.kills += 1

    async def _pay_in(self, market: Any) -> None:
        self.world.deposit(self.customer, self.deposited)
        account = f"customer:{self.customer.address}"
        await until(lambda: market.ledger.balance(account))
        self.fee = self.world.fees_of(self.customer.address)

    async def _wave(self, market: Any, start: int) -> None:
        wave, number = self.tasks[start : start + TOGETHER], start // TOGETHER
        if self._is_mortal and self.world.store.fuse is None:
            self.world.store.fuse, self.world.store.keep = 5 * self.kills % 13, self.kills % 3 > 0
        self._buy(market, wave)
        await market.db.flushed()
        await trio.sleep(WAVE_S)
        self._end(market, wave)
        self._withdraw(market, 10**12 + number)
        await market.db.flushed()

    async def _finish(self, market: Any) -> None:
        await until(lambda: not any(market.settlement.book.active()))
        await until(lambda: not any(market.ledger.holdings("outbox:")))

    def _buy(self, market: Any, wave: Iterable[Sold]) -> None:
        rewards, now_ms = market.settlement.rewards, market.now_ms()
        releasers = self.world.releasers(now_ms + DEADLINE_MS)
        for one in wave:
            batch, customer = Batch(), self.customer.address
            rewards.reserve(batch, one.task_id, customer, one.reward, now_ms)
            rewards.open(batch, one.task_id, lambda: releasers)
            market.db.stage(batch)

    def _end(self, market: Any, wave: Iterable[Sold]) -> None:
        rewards, now_ms = market.settlement.rewards, market.now_ms()
        for one in wave:
            batch = Batch()
            if one.payees is None:
                rewards.refund(batch, one.task_id, now_ms)
            else:
                rewards.settle(batch, one.task_id, one.payees, now_ms)
            market.db.stage(batch)

    def _withdraw(self, market: Any, units: int) -> None:
        batch, name, now_ms = Batch(), f"key-{units}", market.now_ms()
        market.settlement.withdraw(batch, self.customer.address, units, key=name, at_ms=now_ms)
        market.db.stage(batch)
        if units not in self.withdrawals:
            self.withdrawals.append(units)


def _tasks(key: Key, results: int) -> Iterator[Sold]:
    """With rewards that leave something at every division."""
    for number in range(results):
        first, second = (key(20 + (number + more) % 3).address for more in (0, 1))
        workers = {first: 1 + number % 2, second: 3} if number % 3 else {first: 1}
        checks = {key(23 + more).address: 1 + more for more in range(1 + number % 2)}
        payees = Payees(workers, checks, key(23 + number % 2).address)
        reward = UNITS_PER_CPC // 2 + 7 * number + 3
        yield Sold(task_id_of(f"task-{number}"), reward, payees)
        if number % GIVEN_BACK == 0:
            yield Sold(task_id_of(f"back-{number}"), reward + 1, None)


def paid_for(reward: int, payees: Payees, reserve: int) -> Counter[str]:
    """Units by address of one result: 25 % to workers, 10 % to validators, of which the reserve is
    the market's and a quarter of the rest the orchestrator's, 5 % to the treasury, else burned."""
    found: Counter[str] = Counter()
    checked = reward * 10 // 100 - reserve
    orchestrated = checked * 25 // 100
    for part, weights in (
        (reward * 25 // 100, payees.workers),
        (checked - orchestrated, payees.validators),
    ):
        for address, weight in weights.items():
            found[address] += part * weight // sum(weights.values())
    found[payees.orchestrator] += orchestrated
    found["treasury"] = reward * 5 // 100
    found["market"] = reserve
    found["burn"] = reward - found.total()
    assert found["burn"] >= reward * 60 // 100
    return found


async def until(condition: Callable[[], object]) -> None:
    with trio.fail_after(LONGEST_S):
        while not condition():  # noqa: ASYNC110 - under a virtual clock
            await trio.sleep(5)
