"""Provers that follow the protocol to the letter, from iterates that are not the chain's."""

import hashlib

import numpy as np
import pytest

from gpu.proofs.chain241 import integers, native
from gpu.proofs.chain241 import prover as prover_module
from gpu.proofs.chain241.transcript import Transcript
from gpu.proofs.chain241.verifier import _Verifier

KEY = hashlib.sha256(b"lying").digest()
SIZE, STEPS = 8, 3


@pytest.fixture
def honest(prover):
    return prover.chain(KEY, SIZE, STEPS)


def test_the_truth_is_accepted(prover, honest):
    assert not prover.refused(KEY, honest)


@pytest.mark.parametrize("number", range(STEPS + 1))
def test_one_entry_of_one_iterate(prover, honest, number):
    for place in range(SIZE**2):
        iterates = [x.copy() for x in honest]
        prover.lie(iterates[number], place, place)
        assert prover.refused(KEY, iterates)


@pytest.mark.parametrize("number", range(STEPS))
def test_one_entry_of_one_iterate_and_all_that_follows(prover, honest, number):
    """X_t is false, X_{t+1} … X_T follow from it: one false step, at the start for t = 0."""
    for place in range(0, SIZE**2, 3):
        iterates = [x.copy() for x in honest]
        prover.lie(iterates[number], place, place)
        prover.onward(KEY, iterates, number)
        assert not np.array_equal(iterates[-1], honest[-1])
        assert prover.refused(KEY, iterates)


def test_the_chain_of_another_key(prover):
    iterates = prover.chain(hashlib.sha256(b"other").digest(), SIZE, STEPS)
    assert prover.refused(KEY, iterates)


@pytest.mark.parametrize("elements", [1, SIZE, 3 * SIZE + 1])
def test_start_expanded_in_parts(prover, honest, monkeypatch, elements):
    for arithmetic in (integers, native):
        monkeypatch.setattr(arithmetic, "_EXPANSION", elements)
    assert not prover.refused(KEY, honest)
    for place in (0, SIZE, 5 * SIZE + 3, SIZE**2 - 1):
        iterates = [x.copy() for x in honest]
        prover.lie(iterates[0], place)
        prover.onward(KEY, iterates, 0)
        assert prover.refused(KEY, iterates)


def test_honest_steps_from_another_start(prover, honest):
    for start in (np.zeros((SIZE, SIZE)), np.eye(SIZE), honest[0].T, honest[1]):
        iterates = [start.copy(), *honest[1:]]
        prover.onward(KEY, iterates, 0)
        assert prover.refused(KEY, iterates)


@pytest.mark.parametrize("part", ["diagonal", "column", "row"])
@pytest.mark.parametrize("step", range(STEPS))
def test_one_entry_of_what_a_step_takes(prover, honest, part, step):
    iterates = [x.copy() for x in honest]
    inputs = prover.inputs(KEY, SIZE, step)
    vector = inputs[("diagonal", "column", "row").index(part)]
    vector[5] = vector[5] % 240 + 1
    iterates[step + 1] = prover.step(iterates[step], *inputs)
    prover.onward(KEY, iterates, step + 1)
    assert prover.refused(KEY, iterates)


@pytest.mark.parametrize("part", ["diagonal", "column"])
def test_a_cheaper_chain(prover, honest, part):
    """Without the diagonal, or without u v^T."""
    iterates = [honest[0]]
    for step in range(STEPS):
        diagonal, column, row = prover.inputs(KEY, SIZE, step)
        one, none = np.ones_like(diagonal), np.zeros_like(column)
        chosen = (one, column, row) if part == "diagonal" else (diagonal, none, row)
        iterates.append(prover.step(iterates[-1], *chosen))
    assert prover.refused(KEY, iterates)


def test_steps_left_out_or_repeated(prover, honest):
    for order in ([0, 1, 2, 2], [0, 1, 1, 2], [0, 0, 1, 2], [1, 1, 2, 3], [0, 2, 1, 3]):
        assert prover.refused(KEY, [honest[number] for number in order])


def test_a_proof_for_another_statement(prover, honest):
    proof = prover.prove(KEY, honest, out=bytes(32))
    assert prover.refusal(KEY, honest, proof)


class Late(Transcript):
    """Lets a message be chosen after the challenge that should depend on it."""

    label = b""

    def __init__(self):
        super().__init__()
        self._held = None

    def absorb(self, label, data):
        if label == self.label and self._held is None:
            self._held = data
        else:
            super().absorb(label, data)

    def challenge(self, label):
        found = super().challenge(label)
        if self._held is not None:
            held, self._held = self._held, None
            super().absorb(self.label, held)
        return found


@pytest.mark.parametrize("label", [b"stmt", b"round", b"ab", b"x"])
def test_prover_that_speaks_after_the_challenge(prover, honest, monkeypatch, label):
    monkeypatch.setattr(Late, "label", label)
    monkeypatch.setattr(prover_module, "Transcript", Late)
    assert prover.refused(KEY, honest)


def test_unbound_output(prover, honest, monkeypatch):
    """A verifier that takes X~_T(a, b) from the prover accepts any X_T at all: ours computes it.

    The prover gets the value in O(n^2) from X_{T-1} and never touches X_T, so the proof of a
    made-up result is made like any other.
    """
    made_up = [*honest[:-1], np.full((SIZE, SIZE), 7, np.uint8)]
    forged = prover.prove(KEY, made_up)
    assert prover.refusal(KEY, made_up, forged)

    true_claim = _Verifier.first_claim
    last_step = prover.inputs(KEY, SIZE, STEPS - 1)
    true_last = prover.step(honest[-2], *last_step).astype(np.uint8).tobytes()

    def unbound(self, out, _last):
        return true_claim(self, out, true_last)

    monkeypatch.setattr(_Verifier, "first_claim", unbound)
    assert prover.refusal(KEY, made_up, forged) == ""
