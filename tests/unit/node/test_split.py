from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.amounts import UNITS_PER_CPC
from node.errors import ConfigError, InvalidInput
from node.split import BASIS_POINTS, JuryPay, Payees, Shares, Split, jury_pay, split

REWARDS = st.one_of(st.integers(1, 100_000), st.integers(1, 10**36))
WEIGHTS = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 10**30), max_size=8)
WORKERS = WEIGHTS.filter(lambda weights: any(weights.values()))
PAYEES = st.builds(Payees, WORKERS, WEIGHTS, st.sampled_from("abcxyz"))
RESERVES = st.one_of(st.just(0), st.integers(0, 10**10), st.integers(0, 10**36))
SOLO = Shares(orchestrator=0)


@st.composite
def shares_(draw: st.DrawFn) -> Shares:
    cuts = sorted(draw(st.lists(st.integers(0, BASIS_POINTS), min_size=3, max_size=3)))
    burn, workers, validators = cuts[0], cuts[1] - cuts[0], cuts[2] - cuts[1]
    orchestrator = draw(st.integers(0, BASIS_POINTS))
    return Shares(burn, workers, validators, BASIS_POINTS - cuts[2], orchestrator)


def test_the_published_shares_of_ten_cpc() -> None:
    parts = split(10 * UNITS_PER_CPC, Shares(), Payees({"w": 7}, {"v": 1, "u": 2}, "o"), 10**9)
    assert parts.workers == (("w", 25 * UNITS_PER_CPC // 10),)
    assert parts.treasury == 5 * UNITS_PER_CPC // 10
    assert parts.fees == 10**9
    quarter = (UNITS_PER_CPC - 10**9) // 4
    assert parts.validators == (("o", quarter), ("u", 2 * quarter), ("v", quarter))
    assert parts.burn == 6 * UNITS_PER_CPC


def test_an_orchestrator_that_checks_gets_both() -> None:
    parts = split(100_000, Shares(), Payees({"w": 1}, {"v": 1, "u": 1}, "v"), 0)
    assert parts.validators == (("u", 3_750), ("v", 2_500 + 3_750))


def test_one_unit_is_burned() -> None:
    assert split(1, Shares(), Payees({"w": 1}, {"v": 1}, "v"), 0) == Split((), (), 0, 0, 1)


def test_without_checks_their_part_is_burned() -> None:
    parts = split(10_000, Shares(), Payees({"w": 1}, {}, "o"), 100)
    assert (parts.validators, parts.burn) == ((("o", 225),), 6_675)


def test_the_fee_reserve_takes_at_most_the_validators_part() -> None:
    parts = split(10_000, Shares(), Payees({"w": 1}, {"v": 1}, "v"), 10**9)
    assert (parts.fees, parts.validators) == (1_000, ())


@given(REWARDS, shares_(), PAYEES, RESERVES)
def test_parts_add_up_and_nobody_is_negative(
    reward: int, shares: Shares, payees: Payees, reserve: int
) -> None:
    parts = split(reward, shares, payees, reserve)
    people = [amount for _, amount in parts.workers + parts.validators]
    assert parts.total == reward
    assert all(amount > 0 for amount in people)
    assert min(parts.treasury, parts.fees, parts.burn) >= 0
    assert parts.burn * BASIS_POINTS >= reward * shares.burn


@given(REWARDS, PAYEES, RESERVES)
def test_each_worker_is_within_a_unit_of_the_exact_share(
    reward: int, payees: Payees, reserve: int
) -> None:
    parts = split(reward, Shares(), payees, reserve)
    part, total = reward * 2_500 // BASIS_POINTS, sum(payees.workers.values())
    for address, weight in payees.workers.items():
        exact = Fraction(part * weight, total)
        assert 0 <= exact - dict(parts.workers).get(address, 0) < 1


@given(REWARDS, shares_(), PAYEES, RESERVES)
def test_each_validator_is_within_two_units_of_the_exact_share(
    reward: int, shares: Shares, payees: Payees, reserve: int
) -> None:
    parts = split(reward, shares, payees, reserve)
    part = reward * shares.validators // BASIS_POINTS
    rest = part - min(reserve, part)
    orchestrated = Fraction(rest * shares.orchestrator, BASIS_POINTS)
    total = sum(payees.validators.values())
    for address in {*payees.validators, payees.orchestrator}:
        weight = payees.validators.get(address, 0)
        exact = (rest - orchestrated) * Fraction(weight, total) if total else Fraction(0)
        exact += orchestrated if address == payees.orchestrator else 0
        assert abs(exact - dict(parts.validators).get(address, 0)) < 2


@given(REWARDS, PAYEES, RESERVES)
def test_the_order_of_the_arguments_does_not_matter(
    reward: int, payees: Payees, reserve: int
) -> None:
    turned = Payees(
        dict(reversed(payees.workers.items())),
        dict(reversed(payees.validators.items())),
        payees.orchestrator,
    )
    parts = split(reward, Shares(), payees, reserve)
    assert parts == split(reward, Shares(), turned, reserve)
    assert list(parts.workers) == sorted(parts.workers)
    assert list(parts.validators) == sorted(parts.validators)


@given(REWARDS, st.integers(0, 10**36), PAYEES, RESERVES)
def test_a_higher_reward_gives_nobody_less(
    reward: int, more: int, payees: Payees, reserve: int
) -> None:
    low = split(reward, SOLO, payees, reserve)
    high = split(reward + more, SOLO, payees, reserve)
    for before, after in ((low.workers, high.workers), (low.validators, high.validators)):
        assert all(dict(after)[address] >= amount for address, amount in before)
    assert high.treasury >= low.treasury
    assert high.fees >= low.fees


@given(REWARDS, WORKERS, st.integers(1, 10**30))
def test_a_higher_weight_gives_the_same_worker_no_less(
    reward: int, workers: dict[str, int], more: int
) -> None:
    address = min(workers)
    heavier = workers | {address: workers[address] + more}
    low = dict(split(reward, Shares(), Payees(workers, {}, "o"), 0).workers)
    high = dict(split(reward, Shares(), Payees(heavier, {}, "o"), 0).workers)
    assert high.get(address, 0) >= low.get(address, 0)


@pytest.mark.parametrize(
    ("reward", "workers", "validators", "reserve", "field"),
    [
        (0, {"w": 1}, {}, 0, "reward"),
        (-5, {"w": 1}, {}, 0, "reward"),
        (5, {}, {"v": 1}, 0, "workers"),
        (5, {"w": 0}, {}, 0, "workers"),
        (5, {"w": 2, "x": -1}, {}, 0, "workers"),
        (5, {"w": 1}, {"v": -1}, 0, "validators"),
        (5, {"w": 1}, {}, -1, "fee_reserve"),
    ],
)
def test_nonsense_is_refused_by_name(
    reward: int, workers: dict[str, int], validators: dict[str, int], reserve: int, field: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        split(reward, Shares(), Payees(workers, validators, "o"), reserve)
    assert refused.value.field == field


@pytest.mark.parametrize("parts", [(6000, 2500, 1000, 501), (10_500, -500, 0, 0), (0, 0, 0, 0)])
def test_shares_must_add_up(parts: tuple[int, int, int, int]) -> None:
    with pytest.raises(ConfigError):
        Shares(*parts)


@pytest.mark.parametrize("orchestrator", [-1, 10_001])
def test_the_orchestrators_share_is_a_share(orchestrator: int) -> None:
    with pytest.raises(ConfigError):
        Shares(orchestrator=orchestrator)


def test_a_jury_is_paid_equally() -> None:
    assert jury_pay(100, ["b", "a", "c"], 10) == JuryPay((("a", 30), ("b", 30), ("c", 30)), 10, 0)
    assert jury_pay(101, ["b", "a"], 10) == JuryPay((("a", 45), ("b", 45)), 10, 1)
    assert jury_pay(1_000, ["b", "a"], 10, most=50) == JuryPay((("a", 20), ("b", 20)), 10, 950)
    assert jury_pay(5, ["a"], 10) == JuryPay((), 5, 0)
    assert jury_pay(0, ["a"], 10, most=50) == JuryPay((), 0, 0)
    assert jury_pay(7, [], 2) == JuryPay((), 2, 5)
    assert jury_pay(8, ["a", "a"], 0) == JuryPay((("a", 8),), 0, 0), "one juror, one share"


@given(
    st.integers(0, 10**36),
    st.sets(st.sampled_from("abcdef")),
    RESERVES,
    st.none() | st.integers(0, 10**36),
)
def test_the_parts_of_a_jury_s_pay_add_up(
    amount: int, jurors: set[str], reserve: int, most: int | None
) -> None:
    pay = jury_pay(amount, jurors, reserve, most=most)
    theirs = sum(units for _, units in pay.jurors)
    assert theirs + pay.fees + pay.burn == amount
    assert min(theirs, pay.fees, pay.burn) >= 0
    assert theirs + pay.fees <= (amount if most is None else most)
    assert len({units for _, units in pay.jurors}) <= 1
