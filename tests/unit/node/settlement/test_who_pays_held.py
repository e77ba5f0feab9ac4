"""Who pays what where the chain holds the money: every row of that table happens on a chain here.

A row says what an event has made of a reward, part by part, in the chain's own accounts.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from node.l1.devchain.holdings import Escrow, escrow_key
from node.l1.escrow import withdraw_all
from node.l1.transactions import transfer
from tests.unit.node.settlement.support import who_pays
from tests.unit.node.settlement.support.race import (
    BLOCK_S,
    CHECKER,
    CPC,
    CUSTOMER,
    NEEDED,
    TASK,
    WORKER,
    Key,
    Race,
    until,
)

COLUMNS = ("customer", "in escrow", "workers", "validators", "market", "treasury", "burned")
FUNDS = 10**9 * CPC
DEPOSIT = 10 * CPC

Event = Callable[[Race, Any], Awaitable[None]]
EVENTS: who_pays.Events[Event] = who_pays.Events()
event = EVENTS.of


def held_by_chain(race: Race, market: Any) -> dict[str, int]:
    """What the chain has for everybody, beyond what they had."""
    world, rules = race.world, race.world.parameters
    record = market.settlement.rewards.escrow(TASK)
    found = record and world.chain.holdings.records.get(escrow_key(record.escrow_id))
    customer, address = race.key(CUSTOMER).address, world.key.address
    own = world.balance(customer) + world.fees_of(customer) - FUNDS
    spent = world.fees_of(address) + race.given_away
    return {
        "customer": world.held(customer) + own,
        "in escrow": int(record.amount) if isinstance(found, Escrow) else 0,
        "workers": world.balance(race.key(WORKER).address),
        "validators": world.balance(race.key(CHECKER).address),
        "market": world.balance(address) + spent - FUNDS,
        "treasury": world.balance(rules.treasury_address),
        "burned": world.balance(rules.burn_address),
    }


def test_every_row_has_its_test_and_every_test_its_row() -> None:
    assert list(who_pays.rows("who-pays-held", COLUMNS)) == list(EVENTS)


@pytest.mark.parametrize("row", EVENTS)
async def test_a_row_of_the_table_is_true(
    make_world: Any, key: Key, row: str, autojump_clock: Any
) -> None:
    race = Race(make_world, key)
    cells = who_pays.rows("who-pays-held", COLUMNS)[row]
    symbols = {"f": race.world.parameters.fee_reserve}
    wanted = {name: who_pays.units(cell, CPC, symbols) for name, cell in cells.items()}
    assert sum(wanted.values()) == 0
    async with race.world.running(), race.world.market() as market:
        rewards = market.settlement.rewards
        rewards.on_reclaimed = lambda _batch, task: race.told.add(task)
        await EVENTS[row](race, market)
        await trio.sleep(2 * BLOCK_S)
        assert held_by_chain(race, market) == wanted
        assert market.ledger.audit().ok
        assert ("`reclaimed`" in row) == (TASK in race.told)


@event("leased, and its escrow open")
async def _open(race: Race, market: Any) -> None:
    await race.buy(market)


@event("completed, and its claim in a block")
async def _claimed(race: Race, market: Any) -> None:
    await race.buy(market)
    await race.end(market, "settle")
    await race.sign(market, NEEDED)
    await until(lambda: market.settlement.rewards.escrow(TASK).state == "settled")


@event("the same, and somebody else sent the claim")
async def _claimed_by_another(race: Race, market: Any) -> None:
    await race.buy(market)
    await race.end(market, "settle")
    await race.stranger(market, "claim")
    await until(lambda: market.settlement.rewards.escrow(TASK).state == "settled")


@event("a quorum signs a claim for a task that goes on")
async def _claimed_for_nothing(race: Race, market: Any) -> None:
    await race.buy(market)
    await race.stranger(market, "claim")
    await until(lambda: market.settlement.rewards.escrow(TASK).state == "settled")


@event("completed, the claim signed by too few: `reclaimed`")
async def _unsigned(race: Race, market: Any) -> None:
    await race.buy(market)
    await race.end(market, "settle")
    await race.sign(market, NEEDED - 1)
    await race.finish(market)


@event("completed, the claim late, and somebody has it refunded: `reclaimed`")
async def _late(race: Race, market: Any) -> None:
    await race.buy(market)
    await race.end(market, "settle")
    await race.late(market)
    await race.stranger(market, "late refund")
    await race.finish(market)


@event("ended without a result, the refund signed")
async def _refunded(race: Race, market: Any) -> None:
    await race.buy(market)
    await race.end(market, "refund")
    await race.sign(market, NEEDED)
    await race.finish(market)


@event("ended without a result, and nobody signs: after deadline and grace")
async def _unsigned_refund(race: Race, market: Any) -> None:
    await race.buy(market)
    await race.end(market, "refund")
    await race.finish(market)


@event("leased, and the opening in no block by its deadline")
async def _never_open(race: Race, market: Any) -> None:
    race.world.deposit(race.key(CUSTOMER), DEPOSIT)
    await until(lambda: market.ledger.balance(f"customer:{race.key(CUSTOMER).address}"))
    left = race.world.balance(race.world.key.address) - 21 * 10**6
    race.world.submit(race.world.key, transfer(race.key(13).address, left))
    race.given_away = left
    await until(lambda: not race.world.balance(race.world.key.address))
    await race.reserve(market, TASK)
    await until(lambda: market.settlement.rewards.escrow(TASK).state == "failed")


@event("the customer takes the deposit out while it is queued")
async def _taken_out(race: Race, market: Any) -> None:
    customer, rewards = race.key(CUSTOMER), market.settlement.rewards
    rewards.on_unfunded = lambda batch, task, _: rewards.refund(batch, task, market.now_ms())
    race.world.deposit(customer, DEPOSIT)
    await until(lambda: market.ledger.balance(f"customer:{customer.address}"))
    await race.reserve(market, TASK, is_leased=False)
    for _ in range(2):
        race.world.submit(customer, withdraw_all(race.world.key.address))
        await trio.sleep(25 * BLOCK_S)
    assert not race.world.held(customer.address)
