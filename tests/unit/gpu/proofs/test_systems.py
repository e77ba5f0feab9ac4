"""The one way into the proof systems: what is refused, in which order, and that nothing raises."""

import hashlib

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpu.proofs.chain241.choice import best_arithmetic
from gpu.proofs.chain241.specification import proof_bytes
from gpu.proofs.chain241.system import Chain241, StatementUnsupported, chain_of
from gpu.proofs.envelope import MAX_INLINE_BYTES, PayloadKind, ProofEnvelope, ProofSystem
from gpu.proofs.statement import Bounds, Cost, Statement
from gpu.proofs.systems import SYSTEMS, payload_of, verify
from gpu.workloads.base import Finding, JobContext
from gpu.workloads.synthetic import SyntheticParameters, parameters
from gpu.workloads.synthetic.key import chain_key, out_digest

SIZE, STEPS = 6, 2
PARAMETERS = SyntheticParameters("seed", SIZE, STEPS)
JOB = JobContext("cpc-test", "task-1", "cpc1worker", 7)
PROVEN = Finding(valid=True, reason="the whole chain is proven")


def statement_of(key, last):
    return Statement(
        chain_id=JOB.chain_id,
        task_id=JOB.task_id,
        worker=JOB.worker,
        nonce=JOB.nonce,
        kind="synthetic",
        parameters=parameters.canonical(PARAMETERS),
        digest=out_digest(key, PARAMETERS, hashlib.sha256(last).digest()),
    )


def envelope_of(proof, **fields):
    kind, payload = payload_of(proof)
    return ProofEnvelope(
        **{
            "system": ProofSystem.CHAIN241,
            "params_id": Chain241.params_id,
            "statement": bytes(32),
            "worker_key": bytes(32),
            "key_signature": bytes(64),
            "account_signature": bytes(64),
            "account_key": bytes(33),
            "kind": kind,
            "payload": payload,
        }
        | fields
    )


class Case(msgspec.Struct, frozen=True):
    statement: Statement
    proof: bytes
    last: bytes

    def finding(self, statement=None, **changes):
        envelope = envelope_of(changes.pop("proof", self.proof), **changes.pop("envelope", {}))
        last = changes.pop("last", self.last)
        return verify(envelope, statement or self.statement, last, **changes)

    def refusal(self, *statement, **changes):
        finding = self.finding(*statement, **changes)
        assert not finding.valid
        return finding.reason


@pytest.fixture(scope="module")
def case(reference, prover):
    key = chain_key(JOB, PARAMETERS)
    iterates = reference.chain(key, SIZE, STEPS)
    statement = statement_of(key, iterates[-1])
    proof = prover.proof_of(key, iterates, statement.digest, prover.backend, best_arithmetic())
    return Case(statement, proof, iterates[-1])


def test_valid(case):
    assert case.finding() == PROVEN
    assert case.finding(last=memoryview(case.last)) == PROVEN


def test_worker_in_capital_letters_is_the_same_worker(case):
    shouted = msgspec.structs.replace(case.statement, worker="CPC1WORKER")
    assert case.finding(shouted) == PROVEN


@pytest.mark.parametrize(
    "change",
    [
        {"chain_id": "cpc-main"},
        {"task_id": "task-2"},
        {"worker": "cpc1other"},
        {"nonce": 8},
        {"nonce": 7 + 2**16},
        {"task_id": "task-1cpc1", "worker": "worker"},
        {"chain_id": "cpc-testt", "task_id": "ask-1"},
        {"beacon": bytes(32)},
        {"parameters": parameters.canonical(SyntheticParameters("seed2", SIZE, STEPS))},
        {"parameters": parameters.canonical(SyntheticParameters("see", SIZE, STEPS))},
    ],
    ids=str,
)
def test_replayed_for_another_statement(case, change):
    """As it is, and with the digest that the other statement would have."""
    other = msgspec.structs.replace(case.statement, **change)
    digest = out_digest(chain_of(other).key, PARAMETERS, hashlib.sha256(case.last).digest())
    assert digest != case.statement.digest
    assert case.refusal(other) == "the result digest is another one"
    assert "step" in case.refusal(msgspec.structs.replace(other, digest=digest))


@pytest.mark.parametrize("digest", [bytes(32), b"", bytes(33)])
def test_another_digest(case, digest):
    other = msgspec.structs.replace(case.statement, digest=digest)
    assert case.refusal(other) == "the result digest is another one"


@pytest.mark.parametrize(("size", "steps"), [(SIZE, 1), (SIZE, 3), (5, 2), (7, 2), (12, 1)])
def test_replayed_for_another_size(case, size, steps):
    asked = parameters.canonical(SyntheticParameters("seed", size, steps))
    other = msgspec.structs.replace(case.statement, parameters=asked)
    assert "bytes, not" in case.refusal(other)


def test_another_result(case):
    false = bytes([(case.last[0] + 1) % 241]) + case.last[1:]
    assert case.refusal(last=false)
    assert "36" in case.refusal(last=case.last[1:])
    assert "36" in case.refusal(last=b"")


def test_by_digest(case):
    digest = hashlib.sha256(case.proof).digest()
    by_digest = {"kind": PayloadKind.DIGEST, "payload": digest}
    assert case.finding(envelope=by_digest, artifact=case.proof) == PROVEN
    other = bytes([(case.proof[0] + 1) % 241]) + case.proof[1:]
    reason = "the proof is not the one that the envelope names"
    assert case.refusal(envelope=by_digest, artifact=other) == reason
    assert "0 bytes" in case.refusal(envelope=by_digest)
    inline = {"kind": PayloadKind.INLINE, "payload": digest}
    assert "32 bytes" in case.refusal(envelope=inline, artifact=case.proof)


def test_small_proofs_are_carried_whole():
    small, large = bytes(MAX_INLINE_BYTES), bytes(MAX_INLINE_BYTES + 1)
    assert payload_of(small) == (PayloadKind.INLINE, small)
    assert payload_of(large) == (PayloadKind.DIGEST, hashlib.sha256(large).digest())


@pytest.mark.parametrize("system", [ProofSystem.ATTESTED, ProofSystem.BATCH])
def test_attestations_are_no_proofs(case, system):
    assert system not in SYSTEMS
    reason = "the envelope carries no proof of a known system"
    assert case.refusal(envelope={"system": system}) == reason


def test_other_parameters_of_the_system(case):
    assert "other parameters" in case.refusal(envelope={"params_id": bytes(32)})


class Untouchable:
    """An arithmetic that must not be reached."""

    def __getattr__(self, name):
        raise AssertionError(f"{name} was used")


UNTOUCHABLE = {ProofSystem.CHAIN241: Chain241(Untouchable())}


@pytest.mark.parametrize(
    "changes",
    [
        {"proof": b""},
        {"proof": bytes(20_000)},
        {"last": b""},
        {"last": bytes(10_000)},
        {"proof": b"\xff" * proof_bytes(SIZE, STEPS)},
        {"last": b"\xff" * SIZE**2},
        {"bounds": Bounds(max_proof_bytes=proof_bytes(SIZE, STEPS) - 1)},
        {"bounds": Bounds(max_output_bytes=SIZE**2 - 1)},
        {"bounds": Bounds(max_units=1000)},
    ],
    ids=str,
)
def test_refused_before_any_work(case, changes):
    assert case.refusal(systems=UNTOUCHABLE, **changes)


def test_the_largest_task_is_refused_before_any_work(case):
    asked = SyntheticParameters("seed", 65_536, 2**32 - 1)
    other = msgspec.structs.replace(case.statement, parameters=parameters.canonical(asked))
    assert "too large" in case.refusal(other, systems=UNTOUCHABLE)


def test_honest_work_does_reach_the_arithmetic(case):
    with pytest.raises(AssertionError, match="was used"):
        case.finding(systems=UNTOUCHABLE)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"kind": "inference"}, "only synthetic"),
        ({"beacon": bytes(31)}, "beacon"),
        ({"nonce": -1}, "convert"),
        ({"nonce": 2**32}, "too big"),
        ({"parameters": b""}, "canonical"),
        ({"worker": "\ud800"}, "surrogates"),
    ],
)
def test_statements_that_cannot_be(case, change, match):
    other = msgspec.structs.replace(case.statement, **change)
    with pytest.raises(StatementUnsupported, match=match):
        Chain241().cost(other)
    assert match in case.refusal(other)


def test_cost_is_the_formula():
    statement = statement_of(bytes(32), b"")
    asked = parameters.canonical(SyntheticParameters("seed", 1000, 100))
    cost = Chain241().cost(msgspec.structs.replace(statement, parameters=asked))
    assert cost == Cost(
        proof_bytes=100 * (96 * 10 + 48),
        output_bytes=1_000_000,
        units=48 * 1_000_000 + 100 * (2**19 + 2048 * 1024 + 2048 * (96 * 10 + 48)),
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_nothing_from_strangers_raises(case, data):
    length = proof_bytes(SIZE, STEPS)
    residue = st.integers(0, 240)
    residues = st.builds(
        lambda r, p: bytes([r]) * p + case.proof[p:], residue, st.integers(0, length)
    )
    proof = data.draw(st.one_of(st.binary(max_size=40), residues, st.just(case.proof)))
    result = st.binary(min_size=SIZE**2, max_size=SIZE**2)
    last = data.draw(st.one_of(st.binary(max_size=40), result, st.just(case.last)))
    fields = {
        "chain_id": st.text(max_size=5),
        "worker": st.text(st.characters(), max_size=5),
        "nonce": st.integers(),
        "kind": st.sampled_from(["synthetic", "", "inference"]),
        "parameters": st.binary(max_size=60),
        "digest": st.binary(max_size=40),
        "beacon": st.binary(max_size=40),
    }
    chosen = data.draw(st.sets(st.sampled_from(sorted(fields))))
    statement = msgspec.structs.replace(
        case.statement, **{name: data.draw(fields[name]) for name in chosen}
    )
    system = data.draw(st.sampled_from(ProofSystem))
    finding = case.finding(statement, proof=proof, last=last, envelope={"system": system})
    if finding.valid:
        assert (proof, last) == (case.proof, case.last)
        assert statement == case.statement
