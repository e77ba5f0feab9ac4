"""The root over what is held, incrementally; and what survives the process."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.amounts import Amount
from node.l1.devchain.faults import Faults
from node.l1.devchain.holdings import Act, Closed, Deposit, Held, Holdings
from node.l1.devchain.records import Records
from node.l1.devchain.state import State
from node.l1.escrow import Bond, Leaving, bond, deposit, open_escrow, unbond
from storage.database import open_database
from storage.errors import UnknownVersion
from storage.store import Batch
from storage.tables import Table

KEYS = st.text("abcdef", min_size=1, max_size=2)
RECORDS: st.SearchStrategy[Held] = st.one_of(
    st.builds(Deposit, st.integers(0, 5).map(Amount), st.none() | st.integers(0, 3)),
    st.builds(Act, st.integers(0, 5)),
    st.builds(Bond, st.just("k"), st.integers(0, 5).map(Amount), st.just((Leaving(Amount(1), 2),))),
)
CHANGES = st.dictionaries(KEYS, st.none() | RECORDS, max_size=6)


@settings(max_examples=40)
@given(st.lists(CHANGES, max_size=5))
def test_a_root_does_not_remember_how_it_came_about(steps: list[dict[str, Held | None]]) -> None:
    holdings, records = Holdings({}), dict[str, Held]()
    for changes in steps:
        expected = holdings.root(changes)
        holdings.adopt(changes)
        for key, record in changes.items():
            records.pop(key, None)
            if record is not None:
                records[key] = record
        assert holdings.root({}) == expected == Holdings(records).root({})
        assert holdings.records == records
        assert (expected is None) == (not records)


@given(RECORDS, RECORDS, KEYS, KEYS)
def test_every_record_and_every_key_is_in_the_root(
    one: Held, other: Held, key: str, another: str
) -> None:
    same = (one, key) == (other, another)
    assert (Holdings({key: one}).root({}) == Holdings({another: other}).root({})) == same


def test_a_state_without_any_has_the_existing_chains_root() -> None:
    assert State({}, [], 0, {}).root({}) == State({}, []).root({}, {})
    assert State({}, [], 0, {"a": Act(1)}).root({}) != State({}, []).root({})
    assert State({}, []).root({}, {"a": Act(1)}) == State({}, [], 0, {"a": Act(1)}).root({})


async def test_a_restart_keeps_what_is_held(make_market_world: Any, parties: Any) -> None:
    world = make_market_world()
    account = parties.accounts[0]
    async with world.running():
        await world.mine()
        await world.client.send(
            deposit(parties.market.address, 10**30 // 10**11).signed(parties.customer, 0)
        )
        await world.client.send(
            bond(parties.market.address, 7, parties.binding(0)).signed(account, 0)
        )
        await world.mine()
        await world.client.send(open_escrow(parties.opening()).signed(parties.market, 0))
        await world.client.send(unbond(parties.market.address, 3).signed(account, 1))
        await world.mine()
        records = dict(world.chain.holdings.records)
        root = world.chain._chain.state.root({})
        assert len(records) == 5
    async with world.running():
        assert world.chain.holdings.records == records
        assert world.chain._chain.state.root({}) == root
        await world.mine(4)  # what came free is gone from the disk too
    async with world.running():
        assert not any(key.startswith("due/") for key in world.chain.holdings.records)
        assert world.chain.account(account.address).balance > 10**21 - 10**15 - 4


async def test_given_up_blocks_give_back_what_they_held(
    make_market_world: Any, parties: Any
) -> None:
    """And what they took waits again, with what it needs in blocks before it."""
    world = make_market_world(faults=Faults(rolls_back=3))
    market, customer, account = parties.market, parties.customer, parties.accounts[0]
    async with world.running():
        await world.mine(8)
        await world.client.send(deposit(market.address, 10**19).signed(customer, 0))
        await world.client.send(
            bond(parties.market.address, 7, parties.binding(0)).signed(account, 0)
        )
        await world.mine()
        await world.client.send(open_escrow(parties.opening(deadline=30)).signed(market, 0))
        await world.client.send(unbond(parties.market.address, 3).signed(account, 1))
        world.seconds = 9 * world.config.block_time_s
        await world.chain.produce()  # the tenth, by which three are given up
        assert world.chain.tip.height == 6
        assert world.chain.holdings.records == {}
        assert world.chain.mempool.size == 4
        stored, _ = Records(world.chain._db).load()
        assert stored.holdings.records == {}, "nor on the disk"
        await world.chain.produce()
        kinds = {key.partition("/")[0] for key in world.chain.holdings.records}
        assert {"deposit", "bond"} <= kinds
    async with world.running():
        assert {key.partition("/")[0] for key in world.chain.holdings.records} == kinds


def test_closed_escrows_share_their_addresses() -> None:
    """Made by a transaction or read from the disk; there may be hundreds of thousands."""
    made = Closed("cpc1market", "cpc1customer", Amount(5), opened=1, closed=2, claim=None)
    content = msgspec.msgpack.encode(made, enc_hook=Amount.to_wire)
    found = [
        msgspec.msgpack.decode(content, type=Closed, dec_hook=lambda kind, wire: kind(wire))
        for _ in range(2)
    ]
    assert found == [made, made]
    for name in ("market", "customer"):
        assert getattr(found[0], name) is getattr(found[1], name) is getattr(made, name)


async def test_bonds_of_no_market_are_refused_not_misread(make_market_world: Any) -> None:
    """A directory from before bonds were at a market: nobody could say at which these are."""
    world = make_market_world()
    async with world.running():
        await world.mine()
    async with open_database(world.store) as db:
        batch = Batch()
        bonded = _OldRecord({"type": "bond", "public_key": "k", "units": "5", "leaving": []})
        Table(db, "devchain-held", _OldRecord).put(batch, b"bond/cpc1x", bonded)
        await db.commit(batch)
    with pytest.raises(UnknownVersion, match="devchain-held"):
        async with world.running():
            pass


class _OldRecord(msgspec.Struct):
    held: dict[str, object]
