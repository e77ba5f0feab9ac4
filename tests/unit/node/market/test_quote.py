import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.amounts import UNITS_PER_CPC
from node.errors import InvalidInput, RewardBelowQuote
from node.market.quote import check_reward, price


@given(units=st.integers(0, 10**18), base=st.integers(0, 10**20), rate=st.integers(0, 10**20))
def test_the_price_is_rounded_up(units: int, base: int, rate: int) -> None:
    asked = price(units, base=base, per_tera=rate)
    assert 0 <= (asked - base) * 10**12 - units * rate < 10**12


def test_the_published_formula() -> None:
    asked = price(100 * 1024**3, base=UNITS_PER_CPC // 1000, per_tera=UNITS_PER_CPC // 100)
    assert asked == 10**15 + -(-100 * 1024**3 * 10**16 // 10**12)


def test_no_price_is_below_the_least_reward() -> None:
    assert price(1, base=5, per_tera=0, least=7) == 7
    assert price(10**12, base=5, per_tera=9, least=7) == 14


def test_a_low_reward_is_told_the_price() -> None:
    with pytest.raises(RewardBelowQuote, match=r"at least 1\.5") as refused:
        check_reward(UNITS_PER_CPC, quoted=UNITS_PER_CPC * 3 // 2, highest=10**30)
    assert refused.value.field == "reward"


def test_an_absurd_reward_is_refused() -> None:
    with pytest.raises(InvalidInput, match="above"):
        check_reward(10**30 + 1, quoted=1, highest=10**30)
