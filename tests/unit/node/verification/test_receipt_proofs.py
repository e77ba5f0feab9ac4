"""Proofs of a receipt offline: with the right bytes they hold, with any other they do not."""

from hashlib import sha256

import msgspec
import pytest

from gpu.cpu import CpuBackend
from gpu.proofs.envelope import MAX_INLINE_BYTES, PayloadKind, ProofSystem, decode, encode
from gpu.proofs.statement import Bounds
from gpu.workloads import WORKLOADS
from gpu.workloads.base import JobContext, Limits
from node.roles.results import evidence_in, manifest_of, signed_result
from node.verification.claims import StatementInvalid
from node.verification.evidence import ATTESTED, Evidence, evidence_of, work_of
from node.verification.proofs import artifact_of, statement_of, verify_proof
from node.verification.receipt import FORMAT, Receipt, ReceiptInvalid, ReceiptJob
from node.verification.receipt_proofs import proofs_in, verify_proofs
from node.verification.statements import NO_STEPS, check_result

CHAIN = "cpc-devnet-1"
WORKLOAD = WORKLOADS["synthetic"]
LONG = MAX_INLINE_BYTES // 144 + 1
"""Steps of a 2 x 2 chain whose proof goes by digest."""


class Proven:
    """A worker's result, its output and its proof."""

    def __init__(self, cast, folder, steps: int = 3, size: int = 2) -> None:
        payload = {"seed": "s", "matrix_size": size, "iterations": steps, "proof": True}
        parameters = WORKLOAD.parse(payload, Limits())
        self.draw = cast.draw(parameters=WORKLOAD.canonical(parameters))
        self.work = work_of("synthetic", self.draw.parameters)
        job = JobContext(CHAIN, self.draw.task_id, cast.worker.address, 6)
        report = WORKLOAD.run(job, parameters, CpuBackend(), folder, lambda _part: None)
        self.manifest = manifest_of(self.draw, folder, report)
        self.evidence = evidence_in(self.draw, folder, report)
        self.worker = cast.worker
        self.result = self.sealed(self.evidence)
        self.output = (folder / "matrix").read_bytes()
        self.proof = (folder / "proof").read_bytes()

    def sealed(self, evidence, manifest=None):
        return signed_result(self.draw, 6, manifest or self.manifest, self.worker, evidence)

    def receipt(self, result=None) -> Receipt:
        job = ReceiptJob(0, result or self.result, self.manifest, (), None, 0)
        return Receipt(FORMAT, CHAIN, (), (self.draw,), (job,), ())

    def verify(self, result=None, output=None, proof=None, bounds=None) -> int:
        held = [output or self.output, proof or self.proof]

        def find(digest: bytes, size: int) -> bytes | None:
            found = [one for one in held if (sha256(one).digest(), len(one)) == (digest, size)]
            return found[0] if found else None

        return verify_proofs(self.receipt(result), find, bounds or Bounds())


@pytest.fixture(scope="module")
def inline(cast, tmp_path_factory) -> Proven:
    return Proven(cast, tmp_path_factory.mktemp("inline"))


@pytest.fixture(scope="module")
def by_digest(cast, tmp_path_factory) -> Proven:
    return Proven(cast, tmp_path_factory.mktemp("by-digest"), LONG)


@pytest.fixture(params=["inline", "by_digest"])
def proven(request) -> Proven:
    return request.getfixturevalue(request.param)


def test_a_proof_holds_with_its_output(proven, inline) -> None:
    assert proofs_in(proven.receipt()) == proven.verify() == 1
    key = check_result(proven.result, proven.manifest, proven.draw, CHAIN)
    assert key == proven.worker.identity.public_key
    assert (artifact_of(proven.draw, proven.result) is None) == (proven is inline)


def test_what_is_attested_has_no_proofs(cast) -> None:
    draw = cast.draw()
    job = ReceiptJob(0, cast.result(draw), cast.manifest(), (), None, 0)
    receipt = Receipt(FORMAT, CHAIN, (), (draw,), (job,), ())
    assert proofs_in(receipt) == verify_proofs(receipt, lambda *_: None, Bounds()) == 0
    assert artifact_of(draw, job.result) is None


def refused(call) -> ReceiptInvalid:
    with pytest.raises(ReceiptInvalid) as caught:
        call()
    return caught.value


def test_every_byte_of_an_inline_proof(inline) -> None:
    for index in range(len(inline.proof)):
        data = bytearray(inline.proof)
        data[index] = (data[index] + 1) % 241
        result = inline.sealed(evidence_of(inline.work, bytes(data)))
        error = refused(lambda changed=result: inline.verify(changed))
        assert error.field == "jobs[0].result.proof"


def test_a_false_proof_by_digest(by_digest) -> None:
    data = bytes([(by_digest.proof[0] + 1) % 241]) + by_digest.proof[1:]
    result = by_digest.sealed(evidence_of(by_digest.work, data))
    error = refused(lambda: by_digest.verify(result, proof=data))
    assert (error.field, "does not prove" in error.message) == ("jobs[0].result.proof", True)


def test_what_is_missing_is_named(by_digest) -> None:
    error = refused(lambda: by_digest.verify(output=b"1234"))
    assert error.field == "jobs[0].manifest.outputs[0]"
    digest = sha256(by_digest.output).hexdigest()
    assert error.message == f"4 bytes with SHA-256 {digest} are needed"
    assert "tmnode task fetch" in error.remedy
    error = refused(lambda: by_digest.verify(proof=b"x"))
    assert error.field == "jobs[0].result.proof"
    assert sha256(by_digest.proof).hexdigest() in error.message


def test_bounds_come_before_work(inline) -> None:
    error = refused(lambda: inline.verify(bounds=Bounds(max_units=10)))
    assert "this verifier spends 10" in error.message


@pytest.mark.parametrize(
    "change",
    [
        {"chain_id": "cpc-testnet-1"},
        {"task_id": "650e8400-e29b-41d4-a716-446655440000"},
        {"worker": "cpc1other"},
        {"nonce": 7},
        {"digest": bytes(32)},
    ],
)
def test_a_proof_is_of_one_statement(inline, change) -> None:
    """Whatever the result says else: each field of the statement comes from it."""
    draw, result, manifest = inline.draw, inline.result, inline.manifest
    chain_id = change.get("chain_id", CHAIN)
    replaced = {
        "task_id": lambda value: {"draw": msgspec.structs.replace(draw, task_id=value)},
        "worker": lambda value: {"result": msgspec.structs.replace(result, worker_address=value)},
        "nonce": lambda value: {"result": msgspec.structs.replace(result, nonce=value)},
        "digest": lambda value: {"manifest": msgspec.structs.replace(manifest, digest=value)},
    }
    parts = {"draw": draw, "result": result, "manifest": manifest}
    for name, value in change.items():
        parts |= replaced[name](value) if name in replaced else {}
    about = statement_of(**parts, chain_id=chain_id)
    assert about != statement_of(draw, result, manifest, CHAIN)
    finding = verify_proof(
        **parts, output=inline.output, artifact=b"", chain_id=chain_id, bounds=Bounds()
    )
    assert not finding.valid


@pytest.mark.parametrize(
    ("evidence", "message"),
    [
        (ATTESTED, "has to be proven"),
        (Evidence(ProofSystem.BATCH), "has to be proven"),
        (Evidence(ProofSystem.CHAIN241, payload=bytes(432)), "other parameters"),
    ],
)
def test_the_form_of_a_proof_is_checked_before_anything(inline, evidence, message) -> None:
    result = inline.sealed(evidence)
    with pytest.raises(StatementInvalid, match=message) as caught:
        check_result(result, inline.manifest, inline.draw, CHAIN)
    assert caught.value.field == "proof"


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("inline", {"payload": b"\1" * 431}, "another length"),
        ("inline", {"payload": b"\1" * 433}, "another length"),
        ("inline", {"payload": b""}, "another length"),
        ("inline", {"kind": PayloadKind.DIGEST, "payload": bytes(32)}, "where its size belongs"),
        ("by_digest", {"kind": PayloadKind.INLINE, "payload": b""}, "where its size belongs"),
    ],
)
def test_a_proof_has_one_place_and_one_length(request, name, changes, message) -> None:
    proven = request.getfixturevalue(name)
    result = proven.sealed(proven.evidence._replace(**changes))
    with pytest.raises(StatementInvalid, match=message):
        check_result(result, proven.manifest, proven.draw, CHAIN)


def test_a_proven_result_is_one_output_without_steps(inline) -> None:
    assert inline.manifest.trace_root == NO_STEPS
    [output] = inline.manifest.outputs
    wrong = [
        ("manifest.outputs", {"outputs": ()}),
        ("manifest.outputs", {"outputs": (msgspec.structs.replace(output, size=5),)}),
        ("manifest.outputs", {"outputs": (output, msgspec.structs.replace(output, name="b"))}),
        ("manifest.trace_root", {"trace_root": bytes(32)}),
    ]
    for field, changes in wrong:
        manifest = msgspec.structs.replace(inline.manifest, **changes)
        with pytest.raises(StatementInvalid) as caught:
            check_result(inline.sealed(inline.evidence, manifest), manifest, inline.draw, CHAIN)
        assert caught.value.field == field


def test_a_result_that_is_opened_brings_no_proof(cast, inline) -> None:
    draw = cast.draw()
    result = signed_result(draw, 6, cast.manifest(), cast.worker, inline.evidence)
    with pytest.raises(StatementInvalid, match="has no proof"):
        check_result(result, cast.manifest(), draw, CHAIN)


def test_an_envelope_has_one_encoding(inline) -> None:
    data = bytes.fromhex(inline.result.proof)
    assert encode(decode(data)) == data
