"""A transcript that forgets something: each absorb left out, in turn, breaks a test here.

For `stmt`, `round` and `ab` the forgery that becomes possible is carried out: the weakened verifier
accepts a false X_T, the real one refuses it. For `x` no forgery is known (it is determined by what
was absorbed before); that it is absorbed shows in the vectors.
"""

import hashlib

import numpy as np
import pytest

from gpu.proofs.chain241.specification import (
    DEGREE,
    MODULUS,
    ONE,
    ZERO,
    added,
    out_digest,
    subtracted,
)
from gpu.proofs.chain241.transcript import Transcript

KEY = hashlib.sha256(b"mutants").digest()
SIZE, VARIABLES = 8, 3
LABELS = [b"stmt", b"round", b"ab", b"x"]
ORDER = MODULUS**DEGREE


@pytest.fixture
def honest(prover):
    """X_0 and X_1."""
    return prover.chain(KEY, SIZE, 1)


@pytest.fixture
def forget(monkeypatch):
    """forget(label): from now on transcripts do not absorb it. forget(None): they do again."""
    real = Transcript.absorb

    def forget(forgotten):
        def absorb(self, label, data):
            if label != forgotten:
                real(self, label, data)

        monkeypatch.setattr(Transcript, "absorb", absorb)

    return forget


@pytest.mark.parametrize("label", LABELS)
def test_the_vectors_notice(prover, vectors, forget, label):
    (case,) = (c for c in vectors["chains"] if (c["context"], c["n"]) == ("A", 16))
    key = bytes.fromhex(case["key"])
    iterates = prover.chain(key, 16, case["T"])
    proof = bytes.fromhex(case["proof_hex"])
    assert prover.prove(key, iterates) == proof
    forget(label)
    assert prover.prove(key, iterates) != proof
    assert prover.refusal(key, iterates, proof)


@pytest.mark.parametrize("label", LABELS)
def test_both_sides_must_remember(prover, honest, forget, label):
    """A forgetful prover, without more, does not convince the real verifier of two steps."""
    iterates = prover.chain(KEY, SIZE, 2)
    forget(label)
    proof = prover.prove(KEY, iterates)
    assert prover.refusal(KEY, iterates, proof) == ""
    forget(None)
    assert prover.refusal(KEY, iterates, proof)


def test_without_the_statement(prover, honest, forget):
    """The point is known beforehand: X_T + Δ for a Δ whose extension is zero there."""
    forget(b"stmt")
    proof = prover.prove(KEY, honest)
    transcript = Transcript()
    a, b = (
        prover.arithmetic.equality(transcript.point(label, VARIABLES)) for label in (b"a", b"b")
    )
    products = [prover.arithmetic.scaled(b, row.tobytes()) for row in a]
    delta = kernel(np.concatenate(products).T).reshape(SIZE, SIZE)
    false = [honest[0], (honest[1] + delta) % MODULUS]
    assert delta.any()
    assert prover.refusal(KEY, false, proof) == ""
    forget(None)
    assert prover.refusal(KEY, false, proof)
    assert prover.refusal(KEY, honest, prover.prove(KEY, honest)) == ""


def kernel(matrix):
    """A vector that a matrix over F_241 with more columns than rows takes to zero."""
    rows, columns = matrix.shape
    reduced, pivots = matrix.astype(np.int64).copy(), []
    for column in range(columns):
        top = len(pivots)
        below = np.flatnonzero(reduced[top:, column]) + top
        if top == rows or not len(below):
            continue
        reduced[[top, below[0]]] = reduced[[below[0], top]]
        reduced[top] = reduced[top] * pow(int(reduced[top, column]), -1, MODULUS) % MODULUS
        for row in set(range(rows)) - {top}:
            reduced[row] = (reduced[row] - reduced[row, column] * reduced[top]) % MODULUS
        pivots.append(column)
    free = next(column for column in range(columns) if column not in pivots)
    vector = np.zeros(columns, np.int64)
    vector[free] = 1
    vector[pivots] = -reduced[: len(pivots), free] % MODULUS
    return vector


class Conversation:
    """What a forger computes: the true and the false claim on X_1, before the first message."""

    def __init__(self, prover, honest, false):
        self.arithmetic = prover.arithmetic
        self.out = out_digest(KEY, SIZE, 1, false.astype(np.uint8).tobytes())
        self.transcript = Transcript()
        self.transcript.absorb(b"stmt", self.out)
        self._a, self._b = (
            self.arithmetic.equality(self.transcript.point(label, VARIABLES))
            for label in (b"a", b"b")
        )
        _, column, row = (part.astype(np.uint8) for part in prover.inputs(KEY, SIZE, 0))
        self._outer = self.arithmetic.multiplied(
            self.arithmetic.evaluated(column, self._a), self.arithmetic.evaluated(row, self._b)
        )
        self.true_claim, self.false_claim = self._claim(honest[1]), self._claim(false)

    def _claim(self, matrix):
        image = self.arithmetic.image(matrix.astype(np.uint8), self._b)
        return subtracted(self.arithmetic.inner(self._a, image), self._outer)


def false_result(prover, honest, number=0):
    false = honest[1].copy()
    prover.lie(false, 3 + number, number)
    return false


def test_without_the_round_messages(prover, honest, forget):
    """c0 is chosen after r: so that the false claim goes where the true one goes."""
    forget(b"round")
    false = false_result(prover, honest)
    forger = Conversation(prover, honest, false)
    proof = prover.prove(KEY, honest, out=forger.out)
    r = forger.transcript.challenge(b"r")
    arithmetic, c2 = forger.arithmetic, proof[DEGREE : 2 * DEGREE]
    target = arithmetic.next_claim(forger.true_claim, proof[: 2 * DEGREE], r)
    # target = c0 + r (claim - 2 c0 - c2) + r^2 c2, solved for c0.
    rest = added(subtracted(forger.false_claim, c2), arithmetic.multiplied(r, c2))
    factor = subtracted(ONE, added(r, r))
    numerator = subtracted(target, arithmetic.multiplied(r, rest))
    c0 = arithmetic.multiplied(numerator, power(arithmetic, factor, ORDER - 2))
    forged = c0 + proof[DEGREE:]
    assert prover.refusal(KEY, [honest[0], false], forged) == ""
    forget(None)
    assert prover.refusal(KEY, [honest[0], false], forged)


def test_without_alpha_and_beta(prover, honest, forget):
    """Chosen after gamma: their product is the false claim, alpha + gamma beta the true sum."""
    forged = 0
    for number in range(12):
        forget(b"ab")
        false = false_result(prover, honest, number)
        proof = forged_factors(prover, honest, false)
        if proof is None:
            continue
        forged += 1
        assert prover.refusal(KEY, [honest[0], false], proof) == ""
        forget(None)
        assert prover.refusal(KEY, [honest[0], false], proof)
    assert forged


def forged_factors(prover, honest, false):
    """None where the quadratic equation has no root in E, which is every other time."""
    forger = Conversation(prover, honest, false)
    times = forger.arithmetic.multiplied
    proof = prover.prove(KEY, honest, out=forger.out)
    claim, place = forger.false_claim, 2 * DEGREE * VARIABLES
    for start in range(0, place, 2 * DEGREE):
        message = proof[start : start + 2 * DEGREE]
        forger.transcript.absorb(b"round", message)
        claim = forger.arithmetic.next_claim(claim, message, forger.transcript.challenge(b"r"))
    gamma = forger.transcript.challenge(b"gamma")
    true_alpha, true_beta = (proof[place + k * DEGREE :][:DEGREE] for k in (0, 1))
    total = added(true_alpha, times(gamma, true_beta))
    # alpha^2 - total alpha + gamma claim = 0
    product = times(gamma, claim)
    quadruple = added(added(product, product), added(product, product))
    root = square_root(forger.arithmetic, subtracted(times(total, total), quadruple))
    if root is None:
        return None
    half = bytes([pow(2, -1, MODULUS)]) + bytes(DEGREE - 1)
    alpha = times(half, added(total, root))
    inverse = power(forger.arithmetic, gamma, ORDER - 2)
    beta = times(subtracted(total, alpha), inverse)
    return proof[:place] + alpha + beta + proof[place + 2 * DEGREE :]


def power(arithmetic, a, exponent):
    result = ONE
    for bit in f"{exponent:b}":
        result = arithmetic.multiplied(result, result)
        if bit == "1":
            result = arithmetic.multiplied(result, a)
    return result


def square_root(arithmetic, a):
    """Of an element of E, or None (Tonelli and Shanks)."""
    times, odd, twos = arithmetic.multiplied, ORDER - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    if power(arithmetic, a, (ORDER - 1) // 2) != ONE:
        return ZERO if a == ZERO else None
    candidates = (bytes([0, k]) + ONE[:14] for k in range(1, MODULUS))
    minus_one = subtracted(ZERO, ONE)
    other = next(c for c in candidates if power(arithmetic, c, (ORDER - 1) // 2) == minus_one)
    root, rest = power(arithmetic, a, (odd + 1) // 2), power(arithmetic, a, odd)
    generator = power(arithmetic, other, odd)
    for level in range(twos - 2, -1, -1):
        if power(arithmetic, rest, 2**level) != ONE:
            root = times(root, generator)
            rest = times(rest, times(generator, generator))
        generator = times(generator, generator)
    assert times(root, root) == a
    return root
