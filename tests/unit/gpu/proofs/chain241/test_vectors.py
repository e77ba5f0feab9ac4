"""Proofs, byte for byte as in the vectors of the specification, by every implementation."""

import hashlib

import numpy as np
import pytest

from gpu.proofs.chain241.specification import out_digest, proof_bytes

SIZES = (1, 2, 7, 16, 64, 100)


@pytest.fixture(params=[f"{context}-{size}" for context in "AB" for size in SIZES])
def case(request, vectors):
    context, size = request.param.split("-")
    (found,) = (c for c in vectors["chains"] if (c["context"], c["n"]) == (context, int(size)))
    return found


@pytest.fixture
def key(case):
    return bytes.fromhex(case["key"])


@pytest.fixture
def iterates(case, key, prover):
    return prover.chain(key, case["n"], case["T"])


@pytest.fixture
def proof(case, key, iterates, prover):
    return prover.prove(key, iterates)


def test_statement(case, key, iterates):
    out = out_digest(key, case["n"], case["T"], iterates[-1].tobytes())
    assert out.hex() == case["final_digest"]


def test_length(case):
    assert proof_bytes(case["n"], case["T"]) == case["proof_len"]


def test_prover(case, key, iterates, prover, arithmetic, backend):
    out = bytes.fromhex(case["final_digest"])
    raw = [iterate.tobytes() for iterate in iterates]
    proof = prover.proof_of(key, raw, out, backend, arithmetic)
    assert hashlib.sha256(proof).hexdigest() == case["proof_sha256"]
    assert proof.hex() == case.get("proof_hex", proof.hex())


def test_verifier(key, iterates, proof, prover, arithmetic):
    assert prover.refusal(key, iterates, proof, arithmetic) == ""
    wrong = bytearray(proof)
    wrong[len(proof) // 2] = (wrong[len(proof) // 2] + 1) % 241
    assert prover.refusal(key, iterates, bytes(wrong), arithmetic)


@pytest.mark.parametrize("case", [f"B-{size}" for size in SIZES[:-1]], indirect=True)
def test_slow_verifier(case, key, iterates, proof, slow, reference):
    last, size, steps = iterates[-1].tobytes(), case["n"], case["T"]
    assert slow.verify(reference, key, size, steps, last, proof)
    wrong = bytearray(proof)
    wrong[-1] = (wrong[-1] + 1) % 241
    assert not slow.verify(reference, key, size, steps, last, bytes(wrong))
    other = (np.frombuffer(last, np.uint8) + 1) % 241
    assert not slow.verify(reference, key, size, steps, other.astype(np.uint8).tobytes(), proof)
