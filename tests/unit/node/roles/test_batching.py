"""When a batch is sent: by number, age, and the break-even of its fee."""

from math import ceil

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.amounts import UNITS_PER_CPC, Amount
from node.config import load_network
from node.roles.batching import WORTH, BatchRules, Waiting, batch_rules, orchestrator_share

RULES = BatchRules(most=10, age_s=2.0, longest_s=30.0, fee=100)
ENOUGH = WORTH * RULES.fee
NOW = 1_000_000


def due_in(results: int = 1, *, age_s: float = 0, earns: int = ENOUGH, under_way: bool = False):
    return RULES.due_in(Waiting(results, NOW - round(1000 * age_s), earns), under_way, NOW)


def test_a_result_waits_for_others() -> None:
    assert due_in() == 2.0
    assert due_in(9, age_s=0.5) == 1.5
    assert due_in(age_s=2.0) == due_in(age_s=500) == 0.0


def test_as_many_as_fit_wait_no_longer() -> None:
    assert due_in(9) == 2.0
    assert due_in(10) == due_in(10, earns=0, under_way=True) == 0.0


def test_while_an_earlier_one_is_in_no_block_they_wait_longer() -> None:
    assert due_in(age_s=2.0, under_way=True) == 28.0
    assert due_in(age_s=30.0, under_way=True) == 0.0


def test_what_does_not_bring_its_fee_waits_longer() -> None:
    assert due_in(age_s=2.0, earns=ENOUGH - 1) == 28.0
    assert due_in(age_s=2.0, earns=ENOUGH) == 0.0
    assert due_in(age_s=30.0, earns=0) == 0.0


def test_the_longer_wait_is_never_the_shorter_one() -> None:
    rules = RULES._replace(longest_s=1.0)
    assert rules.due_in(Waiting(1, NOW, 0), True, NOW) == 2.0


@given(
    results=st.integers(1, 20),
    age_s=st.integers(0, 100),
    earns=st.integers(0, 2 * ENOUGH),
    under_way=st.booleans(),
)
def test_nothing_waits_longer_than_the_longest(results, age_s, earns, under_way) -> None:
    pause_s = due_in(results, age_s=age_s, earns=earns, under_way=under_way)
    assert 0 <= pause_s <= max(0, RULES.longest_s - age_s)


@pytest.mark.parametrize(
    ("gas_price", "reward", "alone"),
    [
        (1_000, UNITS_PER_CPC // 1_000, 1),  # the devnet's smallest task
        (5_000, UNITS_PER_CPC // 1_000, 1),  # the testnet's
        (10**9, UNITS_PER_CPC, 1),  # the gas price of the existing chain's mainnet
        (10**9, UNITS_PER_CPC // 1_000, 32),
    ],
)
def test_the_break_even_of_the_documentation(gas_price: int, reward: int, alone: int) -> None:
    """n = WORTH * f / w results, in docs/economics.md."""
    config = load_network()
    economics = msgspec.structs.replace(config.economics, gas_price=gas_price)
    rules = batch_rules(msgspec.structs.replace(config, economics=economics))
    assert rules.fee == 80_000 * gas_price
    share = orchestrator_share(Amount(reward), economics)
    assert share == reward // 40
    assert max(1, ceil(WORTH * rules.fee / share)) == alone


def test_the_network_file_sets_the_rules() -> None:
    config = load_network()
    protocol = msgspec.structs.replace(
        config.protocol, max_result_batch=7, result_batch_s=3.0, result_batch_longest_s=9.0
    )
    rules = batch_rules(msgspec.structs.replace(config, protocol=protocol))
    assert rules[:3] == (7, 3.0, 9.0)
