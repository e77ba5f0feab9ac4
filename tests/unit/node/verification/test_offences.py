"""Evidence that a chain re-checks by itself: what is an offence, and what nobody can be made to
have done."""

import copy
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.l1.errors import BadTransaction
from node.l1.escrow import Slashing
from node.l1.keys import AccountKey
from node.l1.transactions import Draft, Transaction
from node.roles.results import signed_result
from node.verification.evidence import evidence_of
from node.verification.inline import Evidence, cost_of, gas_of
from node.verification.offences import false_proof, shown_by, two_verdicts
from node.verification.onchain import MarketProfile
from node.verification.statements import ComputeResult, sign_verdict
from node.workloads import size_of

CHAIN = "cpc-devnet-1"
REPORTER = AccountKey(bytes([9]) * 32)
MARKET = MarketProfile(CHAIN)
BONDED_AT = AccountKey(bytes([8]) * 32).address


def resealed(claim: Any, proof: bytes) -> ComputeResult:
    """The worker's signed result with another proof of the right length."""
    evidence = evidence_of(size_of("synthetic", claim.parameters), proof)
    return signed_result(claim.draw, 6, claim.manifest, claim.worker, evidence)


def lied(claim: Any) -> ComputeResult:
    proof = bytearray(claim.evidence.payload)
    proof[len(proof) // 2] = (proof[len(proof) // 2] + 1) % 241
    return resealed(claim, bytes(proof))


def shown(claim: Any, result: ComputeResult, **changes: Any) -> Draft:
    parts = {"manifest": claim.manifest, "parameters": claim.parameters, "output": claim.output}
    return false_proof(BONDED_AT, result, **{**parts, **changes}, chain_id=CHAIN)


def signed(draft: Draft) -> Transaction:
    return draft.signed(REPORTER, 0)


def refusal(draft: Draft, profile: MarketProfile = MARKET) -> str:
    tx = signed(draft)
    profile.gas(tx)
    with pytest.raises(BadTransaction) as caught:
        profile.check(tx)
    return caught.value.problem


def test_a_false_proof_is_its_workers_offence(claim: Any) -> None:
    result = lied(claim)
    tx = signed(shown(claim, result))
    MARKET.check(tx)
    assert MARKET.gas(tx) == tx.gas_limit
    proof_gas = gas_of(
        cost_of(result, Evidence(claim.parameters, claim.manifest, claim.output), CHAIN)
    )
    assert tx.gas_limit > 60_000 + 30_000 + proof_gas
    slashing = msgspec.convert(tx.payload, Slashing)
    offence = MARKET.offence(slashing)
    assert offence.public_key == claim.worker.identity.public_key.hex()
    other = resealed(claim, bytes(len(claim.evidence.payload)))
    again = msgspec.convert(shown(claim, other).payload, Slashing)
    assert MARKET.offence(again) == offence, "another lie about the same attempt is the same act"


def test_a_true_proof_is_none(claim: Any) -> None:
    assert refusal(shown(claim, claim.result)) == "evidence: the proof is true"


def test_the_reporter_chooses_nothing(claim: Any, cast: Any, parameters: Any) -> None:
    """All that is verified is bound by the worker's signature."""
    result = lied(claim)
    output = bytes([(claim.output[0] + 1) % 241]) + claim.output[1:]
    assert refusal(shown(claim, result, output=output)).startswith("evidence.evidence.output: ")
    other = msgspec.structs.replace(claim.manifest, digest=bytes(32))
    assert refusal(shown(claim, result, manifest=other)).startswith("evidence.result_hash: ")
    unsigned = msgspec.structs.replace(claim.result, nonce=7)
    assert refusal(shown(claim, unsigned)).startswith("evidence.signature: ")
    moved = msgspec.structs.replace(result, proof=claim.result.proof)
    assert refusal(shown(claim, moved)).startswith("evidence.signature: ")
    draft = shown(claim, result)
    stranger = {**draft.payload, "offender": REPORTER.address}
    odd = msgspec.structs.replace(draft, payload=stranger)
    assert refusal(odd) == "offender: is not the worker of this result"
    assert refusal(draft, MarketProfile("cpc-testnet-1")).startswith("evidence.")


def test_what_the_chain_does_not_verify_is_no_evidence(claim: Any, cast: Any) -> None:
    with pytest.raises(BadTransaction, match="is no proof but an attestation"):
        shown(claim, cast.result(cast.draw()))
    with pytest.raises(BadTransaction, match="more than 32768 bytes"):
        shown(claim, lied(claim), output=bytes(40_000))
    short = resealed(claim, claim.evidence.payload[:-1])
    assert refusal(shown(claim, short)).startswith("evidence.proof: ")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.just("00"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)


@settings(max_examples=40)
@given(value=JSON)
def test_hostile_evidence_raises_one_error(claim: Any, cast: Any, value: object) -> None:
    draw, validator = cast.draw(), cast.validators[0]
    result = cast.result(draw)
    verdicts = [cast.verdict(draw, result, validator, one) for one in ("valid", "invalid")]
    true = (two_verdicts(BONDED_AT, validator.address, *verdicts), shown(claim, lied(claim)))
    for draft in true:
        for path in paths_in(draft.payload["evidence"]):
            evidence = copy.deepcopy(draft.payload["evidence"])
            place: Any = evidence
            for step in path[:-1]:
                place = place[step]
            before, place[path[-1]] = place[path[-1]], value
            slashing = Slashing(
                market=BONDED_AT, offender=draft.payload["offender"], evidence=evidence
            )
            try:
                found = shown_by(slashing)
                found.gas(0, CHAIN)
                found.check(slashing.offender, CHAIN)
            except BadTransaction:
                continue
            assert before == value or draft is true[0], path


def paths_in(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Of everything in it."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, one in inner:
        yield (*before, key)
        if isinstance(one, dict | list):
            yield from paths_in(one, (*before, key))


def test_two_verdicts_are_their_validators_offence(cast: Any) -> None:
    draw, validator = cast.draw(), cast.validators[0]
    result = cast.result(draw)
    one = cast.verdict(draw, result, validator, "valid")
    other = cast.verdict(draw, result, validator, "invalid")
    draft = two_verdicts(BONDED_AT, validator.address, one, other)
    tx = signed(draft)
    MARKET.check(tx)
    assert MARKET.gas(tx) == tx.gas_limit
    offence = MARKET.offence(msgspec.convert(tx.payload, Slashing))
    assert offence.public_key == validator.identity.public_key.hex()
    turned = two_verdicts(BONDED_AT, validator.address, other, one)
    assert MARKET.offence(msgspec.convert(turned.payload, Slashing)) == offence
    redrawn = sign_verdict(msgspec.structs.replace(other, redraw=1), CHAIN, validator.identity)
    MARKET.check(signed(two_verdicts(BONDED_AT, validator.address, one, redrawn)))
    colleague = cast.verdict(draw, result, cast.validators[1], "invalid")
    problem = refusal(two_verdicts(BONDED_AT, validator.address, one, colleague))
    assert problem == "evidence: the verdicts are not about the same"
    assert refusal(draft, MarketProfile("cpc-testnet-1")).startswith("evidence.first.signature")
    assert refusal(two_verdicts(BONDED_AT, validator.address, one, one)).endswith(
        "contradict each other"
    )
