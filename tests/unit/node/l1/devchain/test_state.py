"""The state root by the vectors, incrementally; rewards and fees."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from node.amounts import Amount
from node.l1.devchain.holdings import Deposit
from node.l1.devchain.state import (
    HALVING_BLOCKS,
    TREASURY,
    Account,
    Overlay,
    State,
    Validator,
)

PROPOSER = Validator(
    address="cpcvalcons1t89m44c7fg539xl9cl8wepa9ex8f26agckwgys",
    pub_key="0273587aef58ba711f4ee2d9ed92142ba12599d3b5c909fd462d600996d890e530",
    power=1,
    is_active=True,
)
ADDRESSES = st.text("abc1é", min_size=1, max_size=3)
ACCOUNTS = st.builds(Account, st.integers(0, 10**30), st.integers(0, 9))
CHANGES = st.dictionaries(ADDRESSES, ACCOUNTS, max_size=5)


def test_state_roots(vectors: dict[str, Any]) -> None:
    for vector in vectors["state_root_cases"]:
        accounts = {
            one["address"]: Account(int(one["balance"]), one["nonce"]) for one in vector["accounts"]
        }
        assert vector["validators"] == []
        assert State(accounts, []).root({}) == vector["state_root"]
        assert State({}, []).root(accounts) == vector["state_root"]


@settings(max_examples=40)
@given(CHANGES, st.lists(CHANGES, max_size=4))
def test_a_root_does_not_remember_how_it_came_about(
    first: dict[str, Account], later: list[dict[str, Account]]
) -> None:
    state, accounts = State(first, [PROPOSER]), dict(first)
    for changes in later:
        accounts.update(changes)
        expected = State(accounts, [PROPOSER]).root({})
        assert state.root(changes) == expected
        state.adopt(changes, PROPOSER, 0)
        assert state.root({}) == expected


@settings(max_examples=20, deadline=None)
@given(CHANGES, CHANGES, st.lists(CHANGES, max_size=3))
def test_a_copy_goes_a_way_of_its_own(
    first: dict[str, Account], other: dict[str, Account], later: list[dict[str, Account]]
) -> None:
    """Of what is held too: both are what they would be if each had been made anew."""
    deposits = {f"deposit/m/{number}": Deposit(Amount(number)) for number in range(20)}
    state = State(first, [PROPOSER], 5, deposits)
    copy, accounts = state.copy(), dict(first)
    copy.adopt(other, PROPOSER, 6, {"deposit/m/7": None})
    for changes in later:
        accounts.update(changes)
        state.adopt(changes, PROPOSER, 7, {"deposit/m/8": Deposit(Amount(len(changes)))})
        deposits["deposit/m/8"] = Deposit(Amount(len(changes)))
    assert state.root({}) == State(accounts, [PROPOSER], 0, deposits).root({})
    assert (state.holdings.records, state.burned) == (deposits, 7 if later else 5)
    del deposits["deposit/m/7"]
    deposits["deposit/m/8"] = Deposit(Amount(8))
    assert copy.root({}) == State({**first, **other}, [PROPOSER], 0, deposits).root({})
    assert (copy.accounts, copy.burned) == ({**first, **other}, 6)
    assert copy.holdings.records == deposits


def test_validators_are_in_the_root() -> None:
    assert State({}, [PROPOSER]).root({}) != State({}, []).root({})


def test_a_reward_and_the_fees_are_shared_out_to_the_last_unit() -> None:
    overlay = Overlay(State({}, [PROPOSER]))
    fees = 303_000_009
    burned = overlay.reward(0, fees, PROPOSER)
    kept = overlay.account(PROPOSER.reward_address).balance
    treasury = overlay.account(TREASURY).balance
    assert (kept, treasury) == (7 * 10**18 + 272_700_008, 30_300_000)
    assert burned == 3 * 10**18 + 1
    assert kept + treasury + burned == 10 * 10**18 + fees


def test_rewards_halve() -> None:
    overlay = Overlay(State({}, [PROPOSER]))
    overlay.reward(HALVING_BLOCKS, 0, PROPOSER)
    assert overlay.account(PROPOSER.reward_address).balance == 35 * 10**17
    assert TREASURY not in overlay.changes


def test_changes_leave_the_state_alone() -> None:
    state = State({"a": Account(5, 1)}, [])
    overlay = Overlay(state)
    overlay.spend("a", 3)
    overlay.credit("b", 3)
    assert overlay.changes == {"a": Account(2, 2), "b": Account(3, 0)}
    assert state.accounts == {"a": Account(5, 1)}
