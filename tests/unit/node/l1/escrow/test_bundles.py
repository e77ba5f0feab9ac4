"""Whatever is bundled together fits into one transaction, with all the signatures it may have."""

from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.l1.canonical import canonical_payload
from node.l1.escrow import (
    MAX_ESCROWS,
    MAX_MEMBERS,
    MAX_PAYLOAD_BYTES,
    MAX_WORKERS,
    Approval,
    Claim,
    Payee,
    bundles,
    settle_escrows,
)
from node.l1.escrow.rows import MAX_PAYEES
from node.l1.keys import address_of

PEOPLE = sorted(address_of(number.to_bytes(33, "big")) for number in range(MAX_PAYEES + 600))
SIGNED = [
    Approval(public_key=f"{number:064x}", signature="ab" * 64) for number in range(MAX_MEMBERS)
]
HEAVY = 2**63 - 1


def name_of(number: int) -> str:
    return f"{number:064x}"


def claim_of(workers: int, validators: int, first: int = 0, weight: int = HEAVY) -> Claim:
    """So many of each, from a place among the people on."""

    def payees(start: int, count: int) -> tuple[Payee, ...]:
        some = PEOPLE[start : start + count]
        assert len(some) == count
        return tuple(Payee(address=address, weight=weight) for address in some)

    return Claim(
        workers=payees(first, workers),
        validators=payees(first + workers, validators),
        orchestrator=PEOPLE[first + workers + validators],
        results="ff" * 32,
    )


CLAIMS = st.builds(
    claim_of,
    st.sampled_from((1, 1, 2, 60, MAX_WORKERS)),
    st.sampled_from((0, 3, MAX_MEMBERS)),
    st.integers(0, 1_300),
    st.sampled_from((1, HEAVY)),
)


def bundled(claims: list[Claim]) -> Iterator[dict[str, Claim]]:
    """Each is sent as it is, and all are there in their order."""
    named = {name_of(number): claim for number, claim in enumerate(claims)}
    found = list(bundles(named.items()))
    assert [pair for bundle in found for pair in bundle.items()] == list(named.items())
    for bundle in found:
        draft = settle_escrows(bundle, SIGNED)  # raises for what the chain would not read
        assert len(canonical_payload(draft.payload)) <= MAX_PAYLOAD_BYTES
        yield bundle


@settings(max_examples=40)
@given(st.lists(CLAIMS, max_size=30), st.integers(1, 20))
def test_each_bundle_fits_and_nothing_is_lost(claims: list[Claim], times: int) -> None:
    found = list(bundled(claims * times))
    for one, other in pairwise(found):
        first = next(iter(other.values()))
        assert is_nearly_full(one, first), "more than one where one would do"


def is_nearly_full(bundle: dict[str, Claim], more: Claim) -> bool:
    """Whether a bundle with one claim more has too many of something, or is not far from it."""
    with_more = [*bundle.values(), more]
    payees = {address for claim in with_more for address in claim.addresses}
    shares = sum(len(claim.workers) + len(claim.validators) for claim in with_more)
    length = 225 * MAX_MEMBERS + 150 * len(with_more) + 45 * len(payees) + 7 * shares
    return length > MAX_PAYLOAD_BYTES // 3 or len(with_more) > MAX_ESCROWS


@pytest.mark.parametrize("first", [0, 1])
def test_the_largest_claims(first: int) -> None:
    """Of the same people; and of others each time."""
    claims = [claim_of(MAX_WORKERS, MAX_MEMBERS, first * 321 * number) for number in range(4)]
    sizes = [len(bundle) for bundle in bundled(claims)]
    assert sizes == ([3, 1] if first == 0 else [2, 2])


def test_the_smallest_claims() -> None:
    """No more than a transaction opens; nothing makes no bundle."""
    assert [len(bundle) for bundle in bundled([claim_of(1, 0, weight=1)] * 600)] == [256, 256, 88]
    assert list(bundles([])) == []


def test_what_a_full_bundle_left_behind_does_not_count() -> None:
    """Payees of the one before are listed once more in the next, beside others."""
    some, others = (claim_of(MAX_WORKERS, MAX_MEMBERS, 321 * number) for number in range(2))
    assert [len(bundle) for bundle in bundled([some] * 4 + [others] * 2)] == [3, 2, 1]


@pytest.mark.parametrize(("workers", "sizes"), [(255, [4, 2]), (256, [3, 3]), (60, [16, 9])])
def test_as_many_payees_as_a_transaction_may_have(workers: int, sizes: list[int]) -> None:
    """Of small weights, under few signatures there is room for more."""
    claims = [claim_of(workers, 0, (workers + 1) * number, 1) for number in range(sum(sizes))]
    named = {name_of(number): claim for number, claim in enumerate(claims)}
    found = list(bundles(named.items(), signatures=2))
    assert [len(bundle) for bundle in found] == sizes
    for bundle in found:
        settle_escrows(bundle, SIGNED[:2])


def test_each_its_own_worker() -> None:
    """Who is the orchestrator of the claim before."""
    claims = [claim_of(1, 0, MAX_ESCROWS - number) for number in range(MAX_ESCROWS)]
    assert len(list(bundled(claims))) == 2


def test_everyday_claims_fill_a_transaction() -> None:
    """One worker, three validators, small weights, a quorum of five."""
    claims = {name_of(number): claim_of(1, 3, weight=number) for number in range(1, 2_001)}
    found = list(bundles(claims.items(), signatures=5))
    assert [len(one) for one in found] == [MAX_ESCROWS] * 7 + [2_000 - 7 * MAX_ESCROWS]
