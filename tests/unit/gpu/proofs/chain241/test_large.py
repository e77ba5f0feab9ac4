"""Sizes at which the kernels block, on the real chain: `make test-full`."""

import hashlib
import random

import numpy as np
import pytest

from gpu.cpu import CpuBackend
from gpu.proofs.chain241.choice import best_arithmetic
from gpu.proofs.chain241.integers import IntegerArithmetic
from gpu.proofs.chain241.prover import prove
from gpu.proofs.chain241.specification import out_digest
from gpu.proofs.chain241.system import Chain
from gpu.workloads.synthetic.chain import advance, step_inputs
from gpu.workloads.synthetic.proving import iterates_of

pytestmark = pytest.mark.full

KEY = hashlib.sha256(b"large").digest()


def iterates_and_proof(size, steps):
    """X_0 … X_T and the proof, on the production backend."""
    backend, chain = CpuBackend(), Chain(KEY, size, steps)
    iterates = iterates_of(*chain, backend, (steps + 2) * size**2)
    last = iterates.run()
    kept = [iterates(step) for step in reversed(range(steps))][::-1]
    out = out_digest(*chain, backend.download(last))
    proof = prove(*chain, out, kept.__getitem__, backend, best_arithmetic())
    return [matrix(backend, iterate, size) for iterate in (*kept, last)], proof


def matrix(backend, iterate, size):
    return np.frombuffer(backend.download(iterate), np.uint8).reshape(size, size)


@pytest.mark.parametrize(("size", "steps"), [(1000, 3), (1024, 3), (2047, 2), (4096, 1)])
def test_by_every_verifier(prover, size, steps):
    iterates, proof = iterates_and_proof(size, steps)
    assert prover.refusal(KEY, iterates, proof) == ""
    assert prover.refusal(KEY, iterates, proof, IntegerArithmetic()) == ""


@pytest.mark.parametrize(("size", "steps"), [(1000, 4), (64, 128)])
def test_bytes_changed(prover, size, steps):
    iterates, proof = iterates_and_proof(size, steps)
    rng = random.Random(size)
    for place in rng.sample(range(len(proof)), 150):
        changed = bytearray(proof)
        changed[place] = (changed[place] + rng.randrange(1, 241)) % 241
        assert prover.refusal(KEY, iterates, bytes(changed))


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_one_false_entry(prover, number):
    """And the production chain from there on."""
    iterates, _ = iterates_and_proof(1024, 3)
    backend, rng = CpuBackend(), random.Random(number)
    for _ in range(5):
        false = [x.copy() for x in iterates]
        prover.lie(false[number], rng.randrange(1024**2), rng.randrange(240))
        for step in range(number, 3):
            inputs = step_inputs(backend, KEY, 1024, step)
            current, following = (
                backend.upload(false[step].tobytes(), 1024, 1024),
                backend.empty(1024, 1024),
            )
            advance(backend, current, following, inputs, 1024)
            false[step + 1] = matrix(backend, following, 1024)
        assert prover.refused(KEY, false)


@pytest.mark.parametrize("value", [1, 120, 121, 240])
def test_iterates_full_of_extreme_residues(prover, value):
    """Not a chain, so it is refused; but both arithmetics must tell the same lie."""
    iterates = [np.full((2048, 2048), value, np.uint8)] * 2
    raw = [iterate.tobytes() for iterate in iterates]
    out = out_digest(KEY, 2048, 1, raw[1])
    proof = prover.proof_of(KEY, raw, out, prover.backend, best_arithmetic())
    assert prover.proof_of(KEY, raw, out, prover.backend, IntegerArithmetic()) == proof
    assert prover.refusal(KEY, iterates, proof) == prover.refusal(
        KEY, iterates, proof, IntegerArithmetic()
    )
