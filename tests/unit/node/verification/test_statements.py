import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu.proofs.envelope import EnvelopeInvalid, ProofEnvelope, ProofSystem, decode, encode
from node.verification.statements import (
    StatementInvalid,
    check_draw,
    check_result,
    check_verdict,
    open_result,
)

CHAIN = "cpc-devnet-1"


def test_an_honest_attempt_holds(cast) -> None:
    draw = cast.draw()
    result = cast.result(draw)
    check_draw(draw, CHAIN)
    key = check_result(result, cast.manifest(), draw, CHAIN)
    assert key == cast.worker.identity.public_key
    for validator in cast.validators:
        check_verdict(cast.verdict(draw, result, validator), draw, result, CHAIN)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("task_id", "650e8400-e29b-41d4-a716-446655440000"),
        ("epoch", 2),
        ("kind", "rendering"),
        ("parameters", b"other parameters"),
        ("needed", 1),
        ("expires_ms", 1),
        ("market_key", bytes(32)),
    ],
)
def test_a_changed_draw_is_refused(cast, field: str, value: object) -> None:
    with pytest.raises(StatementInvalid):
        check_draw(msgspec.structs.replace(cast.draw(), **{field: value}), CHAIN)


def test_a_draw_with_the_same_validator_twice_is_refused(cast) -> None:
    seat = cast.draw().seats[0]
    with pytest.raises(StatementInvalid, match="distinct"):
        check_draw(cast.draw(seats=(seat, seat)), CHAIN)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("task_id", "650e8400-e29b-41d4-a716-446655440000"),
        ("worker_address", "cpc1nzkar09gyp7t3r0rdrfezeld922fqlfs97cdfd"),
        ("result_hash", "00" * 32),
        ("nonce", 7),
        ("proof", ""),
        ("proof", "zz"),
        ("signature", "00" * 64),
        ("signature", "AB"),
    ],
)
def test_a_changed_result_is_refused(cast, field: str, value: object) -> None:
    draw = cast.draw()
    changed = msgspec.structs.replace(cast.result(draw), **{field: value})
    with pytest.raises(StatementInvalid):
        check_result(changed, cast.manifest(), draw, CHAIN)


def test_a_result_is_bound_to_its_chain_task_and_manifest(cast) -> None:
    draw, manifest = cast.draw(), cast.manifest()
    result = cast.result(draw)
    with pytest.raises(StatementInvalid):
        check_result(result, manifest, draw, "another-chain")
    with pytest.raises(StatementInvalid, match="another task"):
        check_result(result, manifest, cast.draw(task_id="6" + draw.task_id[1:]), CHAIN)
    with pytest.raises(StatementInvalid, match="other parameters"):
        check_result(result, manifest, cast.draw(parameters=b"p"), CHAIN)
    other = msgspec.structs.replace(manifest, digest=bytes(32))
    with pytest.raises(StatementInvalid, match="another digest"):
        check_result(result, other, draw, CHAIN)


def test_a_stranger_cannot_take_a_seat(cast, make_author) -> None:
    draw = cast.draw()
    result = cast.result(draw)
    with pytest.raises(StatementInvalid, match="not drawn"):
        check_verdict(cast.verdict(draw, result, make_author(9)), draw, result, CHAIN)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epoch", 2),
        ("nonce", 9),
        ("worker_address", "cpc1nzkar09gyp7t3r0rdrfezeld922fqlfs97cdfd"),
        ("result_hash", bytes(32)),
        ("finding", "invalid"),
        ("seed", b"\1" * 32),
        ("signature", bytes(64)),
    ],
)
def test_a_changed_verdict_is_refused(cast, field: str, value: object) -> None:
    draw = cast.draw()
    result = cast.result(draw)
    verdict = cast.verdict(draw, result, cast.validators[0])
    with pytest.raises(StatementInvalid):
        check_verdict(msgspec.structs.replace(verdict, **{field: value}), draw, result, CHAIN)


def test_every_byte_of_a_proof_envelope_matters(cast) -> None:
    result = cast.result(cast.draw())
    proof = bytes.fromhex(result.proof)
    for position in range(len(proof)):
        changed = bytearray(proof)
        changed[position] ^= 1
        with pytest.raises(StatementInvalid):
            open_result(msgspec.structs.replace(result, proof=changed.hex()), CHAIN)


@given(data=st.binary(max_size=500))
def test_hostile_envelopes_are_refused(data: bytes) -> None:
    with pytest.raises(EnvelopeInvalid):
        decode(data)


@given(payload=st.binary(max_size=200))
def test_an_envelope_has_one_encoding(payload: bytes) -> None:
    envelope = ProofEnvelope(
        system=ProofSystem.BATCH,
        statement=b"s" * 32,
        worker_key=b"k" * 32,
        key_signature=b"e" * 64,
        account_signature=b"a" * 64,
        account_key=b"p" * 33,
        payload=payload,
    )
    assert decode(encode(envelope)) == envelope
