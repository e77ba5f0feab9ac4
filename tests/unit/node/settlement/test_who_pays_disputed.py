"""Who pays what for a dispute where the chain holds the money: every row of that table happens on a
chain here, to the unit."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from node.l1.devchain.holdings import Escrow, escrow_key
from node.l1.transactions import transfer
from tests.unit.node.settlement.support import who_pays
from tests.unit.node.settlement.support.juries import bonding, check_chain
from tests.unit.node.settlement.support.race import (
    BLOCK_S,
    CHECKER,
    CPC,
    CUSTOMER,
    FEE,
    JURORS,
    LIAR,
    NEEDED,
    TASK,
    WORKER,
    Key,
    Race,
    until,
)

COLUMNS = (
    "customer",
    "in escrow",
    "workers",
    "validators",
    "jurors",
    "market",
    "treasury",
    "burned",
    "bonds",
)
FUNDS = 10**9 * CPC
BOND = CPC

Event = Callable[[Race, Any], Awaitable[None]]
EVENTS: who_pays.Events[Event] = who_pays.Events()
event = EVENTS.of


def shown(race: Race, market: Any) -> dict[str, int]:
    """What the chain has for everybody, beyond what they had."""
    world, rules = race.world, race.world.parameters
    record = market.settlement.rewards.escrow(TASK)
    escrow = world.chain.holdings.records.get(escrow_key(record.escrow_id))

    def own(number: int) -> int:
        address = race.key(number).address
        return int(world.balance(address) + world.fees_of(address) - FUNDS)

    market_spent = world.fees_of(world.key.address) + race.given_away
    return {
        "customer": world.held(race.key(CUSTOMER).address) + own(CUSTOMER),
        "in escrow": escrow.units if isinstance(escrow, Escrow) else 0,
        "workers": world.balance(race.key(WORKER).address),
        "validators": world.balance(race.key(CHECKER).address),
        "jurors": sum(world.balance(race.key(one).address) for one in JURORS),
        "market": world.balance(world.key.address) + market_spent - FUNDS,
        "treasury": world.balance(rules.treasury_address),
        "burned": world.balance(rules.burn_address),
        "bonds": world.bonded(race.key(LIAR).address) + own(LIAR),
    }


def test_every_row_has_its_test_and_every_test_its_row() -> None:
    assert list(who_pays.rows("who-pays-disputed", COLUMNS)) == list(EVENTS)


@pytest.mark.parametrize("row", EVENTS)
async def test_a_row_of_the_table_is_true(
    make_world: Any, key: Key, row: str, autojump_clock: Any
) -> None:
    race = Race(make_world, key)
    cells = who_pays.rows("who-pays-disputed", COLUMNS)[row]
    symbols = {"f": race.world.parameters.fee_reserve, "a": FEE, "b": BOND // 2}
    wanted = {name: who_pays.units(cell, CPC, symbols) for name, cell in cells.items()}
    assert sum(wanted.values()) == 0
    async with race.world.running(), race.world.market() as market:
        rewards = market.settlement.rewards
        rewards.on_reclaimed = lambda _batch, task: race.told.add(task)
        await EVENTS[row](race, market)
        await trio.sleep(2 * BLOCK_S)
        assert shown(race, market) == wanted
        await check_chain(race.world, market)
        assert ("`reclaimed`" in row) == (TASK in race.told)


async def completed(race: Race, market: Any, *, bond: int = BOND) -> None:
    """A task whose claim is signed, and somebody who answers for it with a bond."""
    if bond:
        liar = race.key(LIAR)
        race.world.submit(liar, bonding(race.world.key.address, LIAR, liar, bond))
        await until(lambda: market.settlement.bonds.suffices(liar.address, bond))
    await race.buy(market)
    await race.end(market, "settle")
    await race.sign(market, NEEDED)


async def disputed(race: Race, market: Any, *, bond: int = BOND) -> None:
    await completed(race, market, bond=bond)
    await race.appeal(market)
    await until(lambda: dispute(market).state == "open")


def dispute(market: Any) -> Any:
    return market.settlement.rewards.escrow(TASK).dispute


async def closed(market: Any) -> None:
    await until(lambda: market.settlement.rewards.escrow(TASK).state in ("settled", "refunded"))


@event("disputed, until an award is in a block")
async def _disputed(race: Race, market: Any) -> None:
    await disputed(race, market)


def ruled(row: str, outcome: str, *, bond: int = BOND) -> None:
    @event(row)
    async def _ruled(race: Race, market: Any) -> None:
        await disputed(race, market, bond=bond)
        await race.rule(market, outcome)
        await race.sign(market, NEEDED)
        await closed(market)


ruled("`upheld`", "upheld")
ruled("`inconclusive`", "inconclusive")
ruled("`overturned`", "overturned")


@event("`overturned`, and somebody else sent the award")
async def _awarded_by_another(race: Race, market: Any) -> None:
    await disputed(race, market)
    await race.rule(market, "overturned")
    await race.award(market, "overturned")
    await closed(market)


ruled("`overturned`, where nobody has a bond", "overturned", bond=0)


def unsigned(row: str, outcome: str) -> None:
    @event(row)
    async def _unsigned(race: Race, market: Any) -> None:
        await disputed(race, market)
        await race.rule(market, outcome)
        await race.sign(market, NEEDED - 1)
        await closed(market)
        assert dispute(market).ruled is None


unsigned("`upheld`, and too few sign it by the dispute's deadline", "upheld")
unsigned("`overturned`, and too few sign it: after deadlines and grace", "overturned")


@event("no jury comes to anything by the dispute's deadline")
async def _undecided(race: Race, market: Any) -> None:
    await disputed(race, market)
    await closed(market)


@event("the appeal in no block by its deadline")
async def _never_disputed(race: Race, market: Any) -> None:
    await completed(race, market)
    left = race.world.balance(race.world.key.address) - 21 * 10**6
    race.world.submit(race.world.key, transfer(race.key(13).address, left))
    race.given_away = left
    await race.appeal(market)
    await until(lambda: dispute(market).state == "failed")
    race.world.submit(race.key(13), transfer(race.world.key.address, CPC))
    race.given_away -= CPC
    await closed(market)


@event("somebody sends the claim before a block has the appeal")
async def _claimed_before(race: Race, market: Any) -> None:
    await completed(race, market)
    await race.stranger(market, "claim")
    await race.appeal(market)
    await closed(market)
    assert dispute(market).state == "failed"


@event("a quorum signs a refund while it is disputed: `reclaimed`")
async def _refunded(race: Race, market: Any) -> None:
    await disputed(race, market)
    await race.stranger(market, "refund")
    await closed(market)
