"""What validators sign: for the escrows of one chain that it names, and in one form."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.l1.errors import BadPayload
from node.l1.escrow import (
    Approval,
    Award,
    Claim,
    Payee,
    award_bytes,
    award_digest,
    award_message,
    check_approvals,
    claim_bytes,
    claim_digest,
    claims_message,
    escrow_id_of,
    refund_message,
    sign_award,
    sign_claim,
    sign_claims,
    sign_refund,
    sign_settling,
)

PAYEES = st.lists(
    st.builds(Payee, address=st.text("ab", max_size=3), weight=st.integers(0, 3)), max_size=3
).map(tuple)
CLAIMS = st.builds(
    Claim,
    workers=PAYEES,
    validators=PAYEES,
    orchestrator=st.text("ab", max_size=3),
    results=st.sampled_from(["00" * 32, "01" * 32]),
)

NAMES = st.lists(st.text("ab", max_size=3), max_size=3).map(tuple)
DIGESTS = st.lists(st.sampled_from(["00" * 32, "01" * 32]), max_size=3).map(tuple)


@st.composite
def awards(draw: st.DrawFn) -> Award:
    culprits = draw(NAMES)
    return Award(
        outcome=draw(st.sampled_from(["upheld", "overturned", "inconclusive"])),
        jurors=draw(NAMES),
        false=draw(DIGESTS),
        culprits=culprits,
        keys=tuple(draw(st.sampled_from(["00" * 32, "01" * 32])) for _ in culprits),
    )


AWARDS = awards()


@given(CLAIMS, CLAIMS)
def test_different_claims_have_different_bytes(one: Claim, other: Claim) -> None:
    assert (claim_bytes(one) == claim_bytes(other)) == (one == other)
    assert (claim_digest(one) == claim_digest(other)) == (one == other)


@given(AWARDS, AWARDS)
def test_different_awards_have_different_bytes(one: Award, other: Award) -> None:
    """Nobody moves from the jurors to the culprits under the same signature."""
    assert (award_bytes(one) == award_bytes(other)) == (one == other)
    assert (award_digest(one) == award_digest(other)) == (one == other)


def test_a_signature_under_an_award_is_good_for_nothing_else(parties: Any) -> None:
    name, other = escrow_id_of("c", "m", "t"), escrow_id_of("c", "m", "u")
    award, signer = parties.award(), parties.signers[0]
    signed = sign_award(signer, "c", name, award)
    check_approvals(award_message("c", name, award), [signed])
    for message in (
        award_message("d", name, award),
        award_message("c", other, award),
        award_message("c", name, parties.award(culprits=(parties.customer.address,))),
        award_message("c", name, parties.award(keys=("00" * 32,))),
        refund_message("c", name),
        claims_message("c", {name: parties.claim()}),
    ):
        with pytest.raises(BadPayload, match=r"signatures\[0\]"):
            check_approvals(message, [signed])


def test_a_signature_is_good_for_one_claim_of_one_escrow_of_one_chain(parties: Any) -> None:
    name, other_name = escrow_id_of("c", "m", "t"), escrow_id_of("c", "m", "u")
    others = escrow_id_of("d", "m", "t"), escrow_id_of("c", "n", "t"), escrow_id_of("c", "mt", "")
    assert len({name, other_name, *others}) == 5
    claim, signer = parties.claim(), parties.signers[0]
    other = msgspec.structs.replace(claim, results="cd" * 32)
    signed = sign_claim(signer, "c", name, claim)
    check_approvals(claims_message("c", {name: claim}), [signed])
    wrong = [
        claims_message("d", {name: claim}),
        claims_message("c", {other_name: claim}),
        claims_message("c", {name: other}),
        refund_message("c", name),
    ]
    refusal = sign_refund(signer, "c", name)
    check_approvals(refund_message("c", name), [refusal])
    for message in wrong:
        stranger = parties.stranger
        key, signature = stranger.public_key.hex(), stranger.sign(message).hex()
        good = Approval(public_key=key, signature=signature)
        with pytest.raises(BadPayload, match=r"^signatures\[1\]\.signature: "):
            check_approvals(message, [good, signed])
    with pytest.raises(BadPayload):
        check_approvals(refund_message("d", name), [refusal])
    swapped = msgspec.structs.replace(signed, public_key=parties.stranger.public_key.hex())
    with pytest.raises(BadPayload, match=r"signatures\[0\]"):
        check_approvals(claims_message("c", {name: claim}), [swapped])


SETTLED = st.dictionaries(st.sampled_from(["00" * 32, "01" * 32, "10" * 32]), CLAIMS)


@given(SETTLED, SETTLED)
def test_several_claims_have_bytes_of_their_own(
    some: dict[str, Claim], others: dict[str, Claim]
) -> None:
    """No claim can be left out, added, or moved to another escrow under the same signature."""
    assert (claims_message("c", some) == claims_message("c", others)) == (some == others)
    assert claims_message("c", some) == claims_message("c", dict(reversed(some.items())))
    assert claims_message("c", some) != claims_message("d", some)


def test_a_signature_is_good_for_all_of_its_claims_together(parties: Any) -> None:
    """For no less, no more and no others, in no other order, and on no other chain."""
    names = sorted(escrow_id_of("c", "m", task) for task in "tuv")
    one, two, three = (parties.claim(results=f"{number:064x}") for number in range(3))
    claims = dict(zip(names[:2], (one, two), strict=True))
    signed, signer = sign_claims(parties.signers[0], "c", claims), parties.signers[0]
    check_approvals(claims_message("c", claims), [signed])
    for chain, others in (
        ("d", claims),
        ("c", {}),
        ("c", {names[0]: one}),
        ("c", {names[1]: two}),
        ("c", claims | {names[2]: three}),
        ("c", claims | {names[1]: three}),
        ("c", {names[0]: two, names[1]: one}),
        ("c", {names[0]: one, names[2]: two}),
    ):
        with pytest.raises(BadPayload, match=r"^signatures\[0\]"):
            check_approvals(claims_message(chain, others), [signed])
        assert sign_claims(signer, chain, others) != signed
    pairs = [(name, claim_digest(claim)) for name, claim in claims.items()]
    assert sign_settling(signer, "c", pairs) == signed
    assert sign_settling(signer, "c", reversed(pairs)) != signed
