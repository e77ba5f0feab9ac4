"""A chain divides an escrow exactly as a market divides a reward."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from node.amounts import Amount
from node.l1.escrow import Claim, Opening, Payee, ShareTerms, award_payout, payout
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


JURORS = st.sets(st.sampled_from("abc"), min_size=1).map(lambda some: tuple(sorted(some)))


@given(AMOUNTS, AMOUNTS, JURORS, st.integers(0, 10**36))
def test_what_decides_a_dispute_is_paid_out_whole(
    parties: Any, fee: int, taken: int, jurors: tuple[str, ...], reserve: int
) -> None:
    """A jury gets the fee, from whoever was wrong, and the same each; the rest is burned."""
    opening: Opening = parties.opening(fee_reserve=Amount(reserve))
    upheld = parties.award(outcome="upheld", jurors=jurors, false=(), culprits=())
    overturned = parties.award(jurors=jurors)
    for award, units in ((upheld, fee), (overturned, taken)):
        paid = award_payout(opening, "market", award, fee=fee, taken=taken)
        assert sum(paid.values()) == units
        assert all(one > 0 for one in paid.values())
        shares = {paid.get(one, 0) for one in jurors}
        assert len(shares) == 1
        assert shares.pop() * len(jurors) + paid.get("market", 0) <= min(fee, units)
        assert paid.get("market", 0) == min(reserve, fee, units)
    nothing = parties.award(outcome="inconclusive", jurors=(), false=(), culprits=())
    assert award_payout(opening, "market", nothing, fee=fee, taken=0) == {}
    assert award_payout(opening, "market", overturned, fee=fee, taken=0) == {}
