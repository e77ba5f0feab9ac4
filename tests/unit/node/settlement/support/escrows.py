"""What the tests of a market whose money the chain holds do again and again."""

from collections.abc import Callable
from typing import Any

import msgspec
import trio

from node.amounts import UNITS_PER_CPC
from node.l1.escrow import (
    Approval,
    MarketParameters,
    withdraw_all,
)
from node.l1.keys import AccountKey
from node.l1.transactions import transfer
from node.settlement import accounts
from node.settlement.entries import move
from node.split import Payees
from storage.memory import MemoryStore
from storage.store import Batch
from tests.unit.node.settlement.support.tasks import task_id_of

CPC = UNITS_PER_CPC
TASK, ANOTHER, QUEUED = map(task_id_of, ("task", "another", "queued"))
Key = Callable[[int], AccountKey]


async def until(condition: Callable[[], object]) -> None:
    with trio.fail_after(1000):
        while not condition():  # noqa: ASYNC110 - under a virtual clock
            await trio.sleep(0.1)


def call(market: Any, action: Callable[[Batch], object]) -> None:
    batch = Batch()
    action(batch)
    market.db.stage(batch)


def reserve(market: Any, customer: str, task: str = TASK, units: int = CPC) -> None:
    rewards = market.settlement.rewards
    call(market, lambda batch: rewards.reserve(batch, task, customer, units, market.now_ms()))


def lease(world: Any, market: Any, task: str = TASK, seconds: float = 600) -> None:
    releasers = world.releasers(market.now_ms() + int(seconds * 1000))
    rewards = market.settlement.rewards
    call(market, lambda batch: rewards.open(batch, task, lambda: releasers))


def settle(market: Any, key: Key, task: str = TASK) -> None:
    checker = key(21).address
    payees, rewards = Payees({key(20).address: 1}, {checker: 1}, checker), market.settlement.rewards
    call(market, lambda batch: rewards.settle(batch, task, payees, market.now_ms()))


def refund(market: Any, task: str = TASK) -> None:
    rewards = market.settlement.rewards
    call(market, lambda batch: rewards.refund(batch, task, market.now_ms()))


def withdraw(market: Any, customer: str, units: int = CPC, name: str = "k") -> None:
    settlement = market.settlement
    call(
        market,
        lambda batch: settlement.withdraw(batch, customer, units, key=name, at_ms=market.now_ms()),
    )


def free(market: Any, customer: str) -> int:
    return int(market.ledger.balance(f"customer:{customer}"))


def check_copy(world: Any, market: Any, *customers: str) -> None:
    """The books are what the chain holds, for everybody, while nothing is under way."""
    assert market.ledger.audit().ok
    for customer in customers:
        assert free(market, customer) == world.held(customer)


async def paid_in(world: Any, market: Any, customer: AccountKey, units: int = 10 * CPC) -> None:
    world.deposit(customer, units)
    await until(lambda: free(market, customer.address) >= units)


async def buy(world: Any, market: Any, customer: AccountKey, seconds: float = 600) -> None:
    """Pay in, reserve the task's reward and lease it."""
    await paid_in(world, market, customer)
    reserve(market, customer.address)
    lease(world, market, seconds=seconds)


async def all_matured(market: Any) -> None:
    await until(lambda: not list(market.ledger.holdings("maturing:")))


def approve_by(market: Any, *approvals: Approval) -> None:
    """Let the books have these signatures under the task's ending, and no others."""
    record = market.settlement.rewards.escrow(TASK)
    changed = msgspec.structs.replace(record, approvals=approvals)
    call(market, lambda batch: market.settlement.book.put(batch, changed))


def spend_all(world: Any, key: Key) -> None:
    """Leave the market's account without anything for fees."""
    left = world.balance(world.key.address) - 21 * 10**6
    world.submit(world.key, transfer(key(13).address, left))


async def take_out(world: Any, customer: AccountKey) -> None:
    """The customer's own way: notice, and when it has run out all the rest."""
    world.submit(customer, withdraw_all(world.key.address))
    free_height = world.chain.tip.height + 1 + MarketParameters().deposit_notice_blocks
    await until(lambda: world.chain.tip.height >= free_height)
    world.submit(customer, withdraw_all(world.key.address))


def take_nonce(world: Any) -> None:
    """Pay more than the market, under the nonce that it will use next."""
    world.submit(world.key, transfer(world.key.address, 1, gas_price=5_000))


def copy_of(world: Any) -> Batch:
    """All that the market's store has."""
    backup = Batch()
    for name, value in list(world.store.scan(b"", b"\xff" * 8)):
        backup.put(name, value)
    return backup


def restore(world: Any, backup: Batch) -> None:
    """Give the market, which does not run, an earlier store."""
    world.store = type(world.store)()
    MemoryStore.write(world.store, backup, sync=True)


def more_than_there_is(market: Any, customer: str, units: int = CPC) -> None:
    """Let the books have something of a customer's that the chain does not have."""
    postings = move(accounts.L1, accounts.customer(customer), units)
    fields = {"cause": "deposit:none", "kind": "deposit", "postings": postings, "at_ms": 0}
    call(market, lambda batch: market.ledger.post(batch, **fields))
