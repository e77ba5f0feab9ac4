"""Claims: one form, whoever makes them, and always one that the chain takes."""

from hypothesis import given
from hypothesis import strategies as st

from node.l1.escrow import MAX_MEMBERS, settle_escrow
from node.l1.keys import AccountKey
from node.settlement.escrow_claims import claim_of
from node.split import Payees
from storage.merkle import merkle_root

ADDRESSES = [AccountKey(number.to_bytes(32, "big")).address for number in range(1, 80)]
WEIGHTS = st.dictionaries(st.sampled_from(ADDRESSES), st.integers(0, 2**80), max_size=79)


@given(WEIGHTS.filter(lambda weights: any(weights.values())), WEIGHTS)
def test_every_claim_is_one_that_the_chain_takes(
    workers: dict[str, int], validators: dict[str, int]
) -> None:
    payees = Payees(workers, validators, ADDRESSES[0])
    claim = claim_of(payees, [b"leaf"])
    settle_escrow("00" * 32, claim, ())  # raises what the chain would refuse
    shuffled = Payees(
        dict(reversed(workers.items())), dict(reversed(validators.items())), ADDRESSES[0]
    )
    assert claim_of(shuffled, [b"leaf"]) == claim
    assert claim.results == merkle_root([b"leaf"]).hex()
    assert len(claim.validators) == min(len(validators), MAX_MEMBERS)
    if max(workers.values()) < 2**63:
        assert {one.address: one.weight for one in claim.workers} == workers


def test_the_heaviest_are_kept() -> None:
    validators = {address: weight for weight, address in enumerate(ADDRESSES)}
    claim = claim_of(Payees({ADDRESSES[0]: 1}, validators, ADDRESSES[0]), [])
    assert min(one.weight for one in claim.validators) == len(ADDRESSES) - MAX_MEMBERS
