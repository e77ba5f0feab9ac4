"""The copy of the chain's bonds, block by block: no chain here, and no market."""

from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from node.amounts import Amount
from node.l1.escrow import Bonding, MarketParameters, Slashing, Unbonding
from node.l1.escrow.forms import BindingTerms
from node.settlement import accounts
from node.settlement.chainbonds import ChainBonds
from node.settlement.chainterms import Terms
from node.settlement.ledger import Ledger
from node.settlement.parameters import SettlementParameters
from storage.database import Database, open_database
from storage.memory import MemoryStore
from storage.store import Batch

MARKET, ALICE, BOB = "cpc1market", "cpc1alice", "cpc1bob"
KEY, ANOTHER = "ab" * 32, "cd" * 32
TERMS = MarketParameters(unbonding_blocks=4, slash_bp=2_500)
RULES = SettlementParameters(escrow_block_s=5.0)


class Mirror:
    """Bonds at a market; each block is staged before the next one, as a follower does."""

    def __init__(self, db: Database) -> None:
        terms = Terms(None, 1)  # type: ignore[arg-type]
        terms.known = TERMS
        self.ledger = Ledger(db)
        self.bonds = ChainBonds(db, self.ledger, RULES, terms, MARKET)
        self.db = db
        self.height = 0
        self.names = 0

    def block(self, batch: Batch, blocks: int = 1) -> None:
        for _ in range(blocks):
            self.db.stage(batch)
            batch.changes.clear()
            self.height += 1
            self.bonds.begin(batch, self.height, self.height * 5_000)

    def name(self) -> str:
        self.names += 1
        return f"tx{self.names}:0"

    def bond(self, batch: Batch, address: str, units: int, key: str = KEY) -> None:
        zeros = BindingTerms(
            account_public="0" * 66, ed25519_signature="0" * 128, account_signature="0" * 128
        )
        form = Bonding(public_key=key, binding=zeros)
        self.bonds.bonded(batch, form, address, units, self.name(), 0)

    def unbond(self, batch: Batch, address: str, units: int, market: str = MARKET) -> None:
        form = Unbonding(market=market, amount=Amount(units))
        self.bonds.unbonded(batch, form, address, self.height, self.name(), 0)

    def slash(self, batch: Batch, address: str, market: str = MARKET) -> None:
        form = Slashing(market=market, offender=address, evidence={})
        self.bonds.slashed(batch, form, self.name(), 0)

    def holds(self, batch: Batch, address: str) -> tuple[int, int]:
        names = accounts.bond(address), accounts.unbonding(address)
        bonded, unbonding = (self.ledger.balance(name, batch) for name in names)
        return bonded, unbonding


@pytest.fixture
def mirror(db: Any) -> Mirror:
    return Mirror(db)


async def test_a_bond_from_the_chain_and_back(mirror: Mirror) -> None:
    batch = Batch()
    mirror.block(batch)
    mirror.bond(batch, ALICE, 10)
    mirror.bond(batch, ALICE, 5)
    mirror.unbond(batch, ALICE, 4)
    mirror.block(batch)
    mirror.unbond(batch, ALICE, 11)
    assert mirror.holds(batch, ALICE) == (0, 15)
    mirror.db.stage(batch)
    shown = mirror.bonds.find(ALICE)
    assert (shown.bonded, shown.unbonding) == (0, 15)
    assert shown.release_ms == 6 * 5_000, "when the last part is there"
    batch = Batch()
    mirror.block(batch, 2)
    assert mirror.holds(batch, ALICE) == (0, 15)
    mirror.block(batch)
    assert mirror.holds(batch, ALICE) == (0, 11)
    mirror.block(batch)
    assert mirror.holds(batch, ALICE) == (0, 0)
    mirror.db.stage(batch)
    assert list(mirror.bonds.known()) == []
    assert mirror.ledger.balance(accounts.L1) == 0


async def test_a_slash_takes_a_part_of_all_rounded_up(mirror: Mirror) -> None:
    """From what is bonded first, then from what leaves last, as the chain does."""
    batch = Batch()
    mirror.bond(batch, ALICE, 10)
    mirror.unbond(batch, ALICE, 7)
    mirror.block(batch)
    mirror.unbond(batch, ALICE, 2)
    mirror.slash(batch, ALICE)
    assert mirror.holds(batch, ALICE) == (0, 7), "3 of 10: 1 bonded, and 2 of what left last"
    assert mirror.ledger.balance(accounts.L1, batch) == -7
    mirror.block(batch, 3)
    assert mirror.holds(batch, ALICE) == (0, 0)
    mirror.block(batch)
    assert mirror.ledger.balance(accounts.L1, batch) == 0


async def test_what_is_none_of_this_market_s(mirror: Mirror) -> None:
    batch = Batch()
    mirror.bond(batch, ALICE, 10)
    before = mirror.ledger.next_sequence(batch)
    mirror.unbond(batch, ALICE, 4, "cpc1another")
    mirror.unbond(batch, BOB, 4)
    mirror.slash(batch, ALICE, "cpc1another")
    mirror.slash(batch, BOB)
    assert mirror.bonds.take(batch, [(ALICE, ANOTHER), (BOB, KEY)]) == ()
    assert mirror.holds(batch, ALICE) == (10, 0)
    assert mirror.ledger.next_sequence(batch) == before


async def test_a_bond_of_nothing_binds_to_no_key(mirror: Mirror) -> None:
    batch = Batch()
    mirror.bond(batch, ALICE, 1)
    mirror.slash(batch, ALICE)
    mirror.bond(batch, ALICE, 4, ANOTHER)
    taken = mirror.bonds.take(batch, [(ALICE, ANOTHER)])
    assert [(one.account, one.amount) for one in taken] == [(accounts.bond(ALICE), -1)]


STEPS = st.one_of(
    st.tuples(st.just("bond"), st.sampled_from([ALICE, BOB]), st.integers(1, 9)),
    st.tuples(st.just("unbond"), st.sampled_from([ALICE, BOB]), st.integers(1, 9)),
    st.tuples(st.just("slash"), st.sampled_from([ALICE, BOB])),
    st.tuples(st.just("block"), st.integers(1, 3)),
)


@given(st.lists(STEPS, max_size=20))
@settings(max_examples=100, deadline=None)
def test_books_and_bonds_agree(steps: list[Any]) -> None:
    """Whatever blocks hold: each account is what the bond says, and in the end nothing is left but
    what is bonded."""
    trio.run(_agree, steps)


async def _agree(steps: list[Any]) -> None:
    async with open_database(MemoryStore()) as db:
        _agreed(Mirror(db), steps)


def _agreed(mirror: Mirror, steps: list[Any]) -> None:
    batch = Batch()

    def check() -> None:
        for address in (ALICE, BOB):
            bond = mirror.bonds._get(batch, address)
            expected = (bond.units, bond.unbonding) if bond else (0, 0)
            assert mirror.holds(batch, address) == expected

    for name, *more in steps:
        if name == "unbond" and mirror.holds(batch, more[0])[0] < more[1]:
            continue  # the chain takes none of more than there is
        getattr(mirror, name)(batch, *more)
        check()
    mirror.block(batch, TERMS.unbonding_blocks)
    check()
    assert [mirror.holds(batch, one)[1] for one in (ALICE, BOB)] == [0, 0]
