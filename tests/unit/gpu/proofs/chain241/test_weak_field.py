"""The measure of the other tests: challenges from so few values that lies must get through.

They get through as often as the theory says. So the verifier's checks are as strong as the proof of
its soundness takes them to be, no weaker, and the tests that refuse lies are tests that can fail.
"""

import hashlib
from math import sqrt

import pytest

from gpu.proofs.chain241 import prover as prover_module
from gpu.proofs.chain241.specification import DEGREE, MODULUS
from gpu.proofs.chain241.transcript import Transcript

KEY = hashlib.sha256(b"weak field").digest()
SIZE, VARIABLES = 8, 3


@pytest.fixture
def honest(prover):
    """X_0 … X_2."""
    return prover.chain(KEY, SIZE, 2)


class Weak:
    """Challenges are 0 .. values - 1, uniform: at 241, those of the field F_241."""

    def __init__(self, values, trials):
        self.values = values
        self.trials = trials

    def challenge(self, strong, transcript, label):
        while True:
            value = strong(transcript, label)[0]
            if value < MODULUS // self.values * self.values:
                return constant(value % self.values)

    def assert_rate(self, found, chances, others=1.0):
        """Each of `chances` challenges has one value that hides the lie."""
        probability = 1 - others * (1 - 1 / self.values) ** chances
        deviation = sqrt(self.trials * probability * (1 - probability))
        assert abs(found - self.trials * probability) < 4 * deviation
        assert found > 0


@pytest.fixture(
    params=[(16, 200), pytest.param((MODULUS, 4000), marks=pytest.mark.full)],
    ids=["16 values", "F_241"],
)
def weak(request, monkeypatch):
    weak, strong = Weak(*request.param), Transcript.challenge
    monkeypatch.setattr(
        Transcript, "challenge", lambda self, label: weak.challenge(strong, self, label)
    )
    return weak


def constant(number):
    return bytes([number]) + bytes(DEGREE - 1)


def accepted(prover, trials, lying):
    """How many of `trials` different lies get through."""
    return sum(not prover.refused(KEY, lying(number)) for number in range(trials))


def false_last(prover, honest):
    def lying(number):
        last = honest[1].copy()
        prover.lie(last, number, number // SIZE**2)
        return [honest[0], last]

    return lying


def test_false_result(prover, honest, weak):
    """2 m chances for the point at which X_T is claimed, and m in the first sum-check."""
    found = accepted(prover, weak.trials, false_last(prover, honest))
    weak.assert_rate(found, 3 * VARIABLES)


def test_false_step_inside(prover, honest, weak):
    """The same, at the point to which the steps after the false one have led."""

    def lying(number):
        iterates = [x.copy() for x in honest]
        prover.lie(iterates[1], number, number // SIZE**2)
        prover.onward(KEY, iterates, 1)
        return iterates

    found = accepted(prover, weak.trials, lying)
    weak.assert_rate(found, 3 * VARIABLES)


def test_false_start(prover, honest, weak):
    """2 m chances: only the last point can hide an entry of X_0."""

    def lying(number):
        iterates = [x.copy() for x in honest[:2]]
        prover.lie(iterates[0], number, number // SIZE**2)
        prover.onward(KEY, iterates, 0)
        return iterates

    found = accepted(prover, weak.trials, lying)
    weak.assert_rate(found, 2 * VARIABLES)


def test_false_factors(prover, honest, weak, monkeypatch):
    """alpha and beta with the right product: 2 m chances in the second sum-check, and gamma's.

    The gamma that hides them is any element of F_241.
    """
    times = prover.arithmetic.multiplied
    scale = iter(range(weak.trials))

    class Splitting(prover_module._Prover):
        def _say(self, label, message):
            if label == b"ab":
                factor = 2 + next(scale) % 239
                alpha, beta = (message[:DEGREE], message[DEGREE:])
                message = times(alpha, constant(factor))
                message += times(beta, constant(pow(factor, -1, MODULUS)))
            super()._say(label, message)

    # True iterates, another result digest each time: only the factors lie.
    monkeypatch.setattr(prover_module, "_Prover", Splitting)
    found = 0
    for number in range(weak.trials):
        key = hashlib.sha256(b"factors" + number.to_bytes(2, "big")).digest()
        iterates = [honest[0], prover.step(honest[0], *prover.inputs(key, SIZE, 0))]
        found += only_start_refused(prover, key, iterates)
    weak.assert_rate(found, 2 * VARIABLES, others=1 - 1 / MODULUS)


def only_start_refused(prover, key, iterates):
    """Whether every step is accepted; X_0 is another key's on purpose."""
    refusal = prover.refusal(key, iterates, prover.prove(key, iterates))
    return refusal == "the chain does not start at X_0"


def test_the_same_lies_in_the_real_field(prover, honest):
    assert accepted(prover, 300, false_last(prover, honest)) == 0
