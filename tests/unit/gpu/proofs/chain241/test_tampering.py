"""Proofs that somebody changed, and proofs of something else."""

import hashlib

import numpy as np
import pytest

from gpu.proofs.chain241.specification import step_bytes

KEY = hashlib.sha256(b"tampering").digest()
SIZES = [(7, 2), (8, 1), (1, 3)]


@pytest.fixture(params=SIZES, ids=str)
def honest(request, prover):
    """Iterates and their proof."""
    iterates = prover.chain(KEY, *request.param)
    return iterates, prover.prove(KEY, iterates)


def test_every_byte_changed(honest, prover):
    iterates, proof = honest
    assert prover.refusal(KEY, iterates, proof) == ""
    for place in range(len(proof)):
        for added in (1, 240 - place % 239):
            changed = bytearray(proof)
            changed[place] = (changed[place] + added) % 241
            assert prover.refusal(KEY, iterates, bytes(changed)), place


def test_some_bytes_changed_by_every_arithmetic(honest, prover, arithmetic):
    iterates, proof = honest
    for place in range(0, len(proof), len(proof) // 12):
        changed = bytearray(proof)
        changed[place] = (changed[place] + 1) % 241
        assert prover.refusal(KEY, iterates, bytes(changed), arithmetic)


def test_the_same_residue_in_another_byte(honest, prover):
    iterates, proof = honest
    places = [place for place, byte in enumerate(proof) if byte + 241 < 256]
    assert places
    for place in places:
        changed = bytearray(proof)
        changed[place] += 241
        refusal = prover.refusal(KEY, iterates, bytes(changed))
        assert refusal == "the proof holds a byte over 240"


def test_cut_extended_and_empty(honest, prover):
    iterates, proof = honest
    step = step_bytes(len(iterates[0]))
    wrong = [b"", proof[:-1], proof[:-16], proof[step:], proof[:-step], b"\0" + proof]
    wrong += [proof + b"\0", proof + bytes(16), proof + proof[:step], proof * 2, proof[1:]]
    for changed in wrong:
        assert prover.refusal(KEY, iterates, changed) == "the proof has another length"


def test_elements_swapped(honest, prover):
    iterates, proof = honest
    elements = [proof[i : i + 16] for i in range(0, len(proof), 16)]
    for first in range(len(elements) - 1):
        for second in {first + 1, len(elements) - 1} - {first}:
            changed = list(elements)
            changed[first], changed[second] = changed[second], changed[first]
            if changed != elements:
                assert prover.refusal(KEY, iterates, b"".join(changed))


def test_steps_swapped(prover):
    iterates = prover.chain(KEY, 7, 3)
    proof, step = prover.prove(KEY, iterates), step_bytes(7)
    first, second, third = (proof[i : i + step] for i in range(0, len(proof), step))
    for changed in (second + first + third, first + third + second, first * 3, third * 3):
        assert prover.refusal(KEY, iterates, changed)


def test_every_entry_of_the_result_changed(honest, prover):
    iterates, proof = honest
    for place in np.ndindex(iterates[-1].shape):
        false = iterates[-1].copy()
        false[place] = (int(false[place]) + 1 + place[0]) % 241
        assert prover.refusal(KEY, [*iterates[:-1], false], proof)


def test_results_in_another_form(prover):
    iterates = prover.chain(KEY, 7, 2)
    proof, last = prover.prove(KEY, iterates), iterates[-1]
    assert prover.refusal(KEY, [*iterates[:-1], last.T], proof)
    assert prover.refusal(KEY, [*iterates[:-1], last[::-1]], proof)
    assert prover.refusal(KEY, [*iterates[:-1], np.zeros_like(last)], proof)
    over = last.copy()
    over[np.unravel_index(np.argmin(over), over.shape)] += 241
    refusal = prover.refusal(KEY, [*iterates[:-1], over], proof)
    assert refusal == "the result holds a byte over 240"
    for wrong in (last[:-1], last[:, :-1], np.zeros((0, 7))):
        refusal = prover.refusal(KEY, [*iterates[:-1], wrong], proof)
        assert refusal == "the result is not a matrix of this size"


def test_another_key(honest, prover):
    """Whatever of the context changes, the key changes: see the system's tests."""
    iterates, proof = honest
    other = hashlib.sha256(KEY).digest()
    assert prover.refusal(other, iterates, proof)
    out_of_other = prover.prove(other, iterates)
    assert prover.refusal(other, iterates, out_of_other)
    assert prover.refusal(KEY, iterates, out_of_other)


def test_another_number_of_steps(prover):
    iterates = prover.chain(KEY, 7, 4)
    for steps in (3, 2, 1):
        shorter = prover.prove(KEY, iterates[: steps + 1])
        assert prover.refusal(KEY, iterates[: steps + 1], shorter) == ""
        assert prover.refusal(KEY, iterates, shorter)
        longer = prover.prove(KEY, iterates)
        assert prover.refusal(KEY, iterates[: steps + 1], longer)
        assert prover.refusal(KEY, iterates[: steps + 1], longer[-len(shorter) :])
        assert prover.refusal(KEY, iterates[: steps + 1], longer[: len(shorter)])


@pytest.mark.parametrize("bad", [b"\xff", b"\xf1", b"\0", b"\xf0"])
def test_one_byte_over_and_over(honest, prover, bad, arithmetic):
    iterates, proof = honest
    assert prover.refusal(KEY, iterates, bad * len(proof), arithmetic)
