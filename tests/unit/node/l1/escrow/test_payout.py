"""A chain divides an escrow exactly as a market divides a reward."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from node.amounts import Amount
from node.l1.escrow import Claim, Opening, Payee, ShareTerms, payout
from node.split import BASIS_POINTS, Payees, Shares, split

WEIGHTS = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 2**63 - 1), max_size=8)
AMOUNTS = st.one_of(st.integers(1, 100_000), st.integers(1, 10**36))


@st.composite
def shares_(draw: st.DrawFn) -> Shares:
    cuts = sorted(draw(st.lists(st.integers(0, BASIS_POINTS), min_size=3, max_size=3)))
    parts = (cuts[0], cuts[1] - cuts[0], cuts[2] - cuts[1], BASIS_POINTS - cuts[2])
    return Shares(*parts, draw(st.integers(0, BASIS_POINTS)))


def claimed(workers: dict[str, int], validators: dict[str, int], orchestrator: str) -> Claim:
    def payees(weights: dict[str, int]) -> tuple[Payee, ...]:
        return tuple(Payee(address=one, weight=weight) for one, weight in sorted(weights.items()))

    return Claim(
        workers=payees(workers),
        validators=payees(validators),
        orchestrator=orchestrator,
        results="00" * 32,
    )


@given(
    AMOUNTS,
    shares_(),
    WEIGHTS.filter(lambda weights: any(weights.values())),
    WEIGHTS,
    st.sampled_from("abcxyz"),
    st.integers(0, 10**36),
)
def test_the_split_of_the_market(
    parties: Any,
    amount: int,
    shares: Shares,
    workers: dict[str, int],
    validators: dict[str, int],
    orchestrator: str,
    reserve: int,
) -> None:
    terms = {"amount": Amount(amount), "shares": ShareTerms.of(shares)}
    opening: Opening = parties.opening(fee_reserve=Amount(reserve), **terms)
    paid = payout(opening, "market", claimed(workers, validators, orchestrator))
    parts = split(amount, shares, Payees(workers, validators, orchestrator), reserve)
    assert sum(paid.values()) == amount == parts.total
    assert all(units > 0 for units in paid.values())
    assert paid.get("market", 0) == parts.fees
    assert paid.get(opening.burn_address, 0) == parts.burn
    assert paid.get(opening.treasury_address, 0) == parts.treasury
    people = dict(parts.workers)
    for address, units in parts.validators:
        people[address] = people.get(address, 0) + units
    assert {one: paid[one] for one in paid if len(one) == 1} == people
