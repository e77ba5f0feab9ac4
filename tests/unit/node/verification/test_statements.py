import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu.proofs.envelope import EnvelopeInvalid, ProofEnvelope, ProofSystem, decode, encode
from node.roles.results import signed_result
from node.verification.claims import StatementInvalid
from node.verification.draws import check_draw, check_nonce, job_of, nonce_of
from node.verification.evidence import Evidence
from node.verification.statements import (
    OutputRef,
    check_result,
    check_verdict,
    open_result,
    result_statement,
    seal_result,
    worker_key_of,
)

CHAIN = "cpc-devnet-1"


def test_an_honest_attempt_holds(cast) -> None:
    draw = cast.draw()
    result = cast.result(draw)
    check_draw(draw, CHAIN)
    key = check_result(result, cast.manifest(), draw, CHAIN)
    assert key == worker_key_of(result)
    assert key == cast.worker.identity.public_key
    for validator in cast.validators:
        check_verdict(cast.verdict(draw, result, validator), draw, result, CHAIN)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("task_id", "650e8400-e29b-41d4-a716-446655440000"),
        ("epoch", 2),
        ("redraw", 1),
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
        ("redraw", 1),
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


@given(
    job=st.integers(0, 63),
    epoch=st.integers(0, 10**4),
    attempt=st.integers(1, 5),
    other=st.integers(0, 10**4),
)
def test_a_nonce_belongs_to_one_job_and_epoch(
    cast, job: int, epoch: int, attempt: int, other: int
) -> None:
    nonce = nonce_of(job, epoch, attempt, 5)
    assert job_of(nonce) == job
    check_nonce(nonce, cast.draw(epoch=epoch), job + 1, 5)
    with pytest.raises(StatementInvalid, match=f"of job {job}"):
        check_nonce(nonce, cast.draw(epoch=epoch), job, 5)
    if other != epoch:
        with pytest.raises(StatementInvalid, match="superseded"):
            check_nonce(nonce, cast.draw(epoch=other), job + 1, 5)


@pytest.mark.parametrize(
    "names",
    [("",), ("../matrix",), ("a/b",), (".hidden",), ("a\n",), ("x" * 129,), ("a", "a"), ("ä",)],
)
def test_an_output_has_a_plain_name(cast, names: tuple[str, ...]) -> None:
    """It stands in paths and headers of whoever shows it."""
    outputs = tuple(OutputRef(name, bytes(32), 1, bytes(32)) for name in names)
    manifest = msgspec.structs.replace(cast.manifest(), outputs=outputs)
    draw = cast.draw()
    with pytest.raises(StatementInvalid, match="plain names"):
        check_result(signed_result(draw, 6, manifest, cast.worker), manifest, draw, CHAIN)


@pytest.mark.parametrize("field", ["trace_root", "digest", "sha256", "chunk_root"])
def test_a_digest_has_32_bytes(cast, field: str) -> None:
    manifest, draw = cast.manifest(), cast.draw()
    if field in ("sha256", "chunk_root"):
        output = msgspec.structs.replace(manifest.outputs[0], **{field: b"short"})
        manifest = msgspec.structs.replace(manifest, outputs=(output,))
    else:
        manifest = msgspec.structs.replace(manifest, **{field: b"short"})
    with pytest.raises(StatementInvalid, match="32 bytes"):
        check_result(signed_result(draw, 6, manifest, cast.worker), manifest, draw, CHAIN)


@pytest.mark.parametrize(
    ("system", "payload"), [(ProofSystem.ATTESTED, b"x"), (ProofSystem.BATCH, b"")]
)
def test_a_workers_proof_carries_nothing(cast, system: ProofSystem, payload: bytes) -> None:
    """It would travel with every receipt, up to 32 KiB of it."""
    draw, manifest = cast.draw(), cast.manifest()
    result = cast.result(draw)
    statement = result_statement(result, manifest, CHAIN)
    sealed = seal_result(result, statement, Evidence(system, payload=payload), cast.worker)
    with pytest.raises(StatementInvalid, match="has no proof"):
        check_result(sealed, manifest, draw, CHAIN)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_seat_is_a_key(cast, size: int) -> None:
    seats = tuple(
        msgspec.structs.replace(seat, key=bytes([number]) * size)
        for number, seat in enumerate(cast.draw().seats)
    )
    with pytest.raises(StatementInvalid, match="distinct seats"):
        check_draw(cast.draw(seats=seats), CHAIN)


def test_an_unsigned_draw_is_refused_whoever_is_pinned(cast) -> None:
    unsigned = msgspec.structs.replace(cast.draw(), market_key=b"short")
    for markets in ((), (cast.market.identity.peer_id,)):
        with pytest.raises(StatementInvalid, match="did not sign"):
            check_draw(unsigned, CHAIN, markets)
