"""The verifier: from X_T and a proof to whether X_T is what T steps from the key's X_0 give.

A claim "X_T has this value at a random point" is reduced, step by step, to a claim about X_0, which
the verifier checks for itself. See docs/proofs.md for why a false claim does not survive.
"""

from typing import NamedTuple

import numpy as np

from gpu.proofs.chain241.arithmetic import Arithmetic
from gpu.proofs.chain241.specification import (
    DEGREE,
    MAX_ITERATIONS,
    MAX_SIZE,
    PAIR_BYTES,
    ROUND_BYTES,
    Element,
    Residues,
    Stream,
    Table,
    added,
    is_canonical,
    out_digest,
    proof_bytes,
    subtracted,
    variables,
)
from gpu.proofs.chain241.transcript import Transcript


class Rejected(Exception):
    """The proof is not one of this chain and this X_T; the message says where it fails."""


class _Claim(NamedTuple):
    """X~_t(a, b) = value; both points by their equality tables."""

    a: Table
    b: Table
    value: Element


def verify(
    key: bytes,
    size: int,
    iterations: int,
    out: bytes,
    last: bytes | memoryview,
    proof: bytes,
    arithmetic: Arithmetic,
) -> None:
    """Return if `proof` shows that `last` is X_T of the chain of `key`; raise Rejected if not.

    `out`, `last` and `proof` may be any bytes: `out` must be the result digest of `last`. Time is
    bounded by n and T alone, and nothing is computed before the lengths are right and every byte
    canonical.
    """
    _require_form(size, iterations, last, proof)
    _require(out_digest(key, size, iterations, last) == out, "the result digest is another one")
    verifier = _Verifier(key, size, proof, arithmetic)
    claim = verifier.first_claim(out, last)
    for step in reversed(range(iterations)):
        claim = verifier.reduced(claim, step)
    _require(verifier.start_value(claim) == claim.value, "the chain does not start at X_0")


def _require_form(size: int, iterations: int, last: bytes | memoryview, proof: bytes) -> None:
    _require(1 <= size <= MAX_SIZE, "the matrix size is out of range")
    _require(1 <= iterations <= MAX_ITERATIONS, "the number of iterations is out of range")
    _require(len(proof) == proof_bytes(size, iterations), "the proof has another length")
    _require(len(last) == size**2, "the result is not a matrix of this size")
    _require(is_canonical(proof), "the proof holds a byte over 240")
    _require(is_canonical(last), "the result holds a byte over 240")


class _Verifier:
    """One reading of a proof, message after message, against its own transcript."""

    def __init__(self, key: bytes, size: int, proof: bytes, arithmetic: Arithmetic) -> None:
        self._key = key
        self._size = size
        self._variables = variables(size)
        self._proof = proof
        self._read = 0
        self._arithmetic = arithmetic
        self._transcript = Transcript()

    def first_claim(self, out: bytes, last: bytes | memoryview) -> _Claim:
        """The value of X_T at a random point: computed here, never taken from the prover."""
        self._transcript.absorb(b"stmt", out)
        a = self._equality(self._transcript.point(b"a", self._variables))
        b = self._equality(self._transcript.point(b"b", self._variables))
        matrix = np.frombuffer(last, np.uint8).reshape(self._size, self._size)
        image = self._arithmetic.image(matrix, b[: self._size])
        return _Claim(a, b, self._arithmetic.inner(a[: self._size], image))

    def reduced(self, claim: _Claim, step: int) -> _Claim:
        """From a claim on X_{t+1} to one on X_t. Raises Rejected."""
        m, times = self._variables, self._arithmetic.multiplied
        rho, product = self._sum_check(self._without_outer(claim, step), m)
        alpha, beta = self._pair()
        _require(times(alpha, beta) == product, f"step {step}: alpha beta is not what is claimed")
        gamma = self._transcript.challenge(b"gamma")
        point, product = self._sum_check(added(alpha, times(gamma, beta)), 2 * m)
        sigma, tau, x = self._equality(point[:m]), self._equality(point[m:]), self._take(DEGREE)
        weight = self._weight(claim, step, self._equality(rho), gamma, sigma, tau)
        _require(times(x, weight) == product, f"step {step}: x is not what is claimed")
        self._transcript.absorb(b"x", x)
        return _Claim(sigma, tau, x)

    def start_value(self, claim: _Claim) -> Element:
        """X~_0 at the claim's point, from the key."""
        image = self._arithmetic.start_image(self._key, claim.b[: self._size])
        return self._arithmetic.inner(claim.a[: self._size], image)

    def _without_outer(self, claim: _Claim, step: int) -> Element:
        """The claim's value less u~(a) v~(b)."""
        column = self._expanded(Stream.COLUMN, step, self._size)
        row = self._expanded(Stream.ROW, step, self._size)
        outer = self._arithmetic.multiplied(
            self._arithmetic.evaluated(column, claim.a[: self._size]),
            self._arithmetic.evaluated(row, claim.b[: self._size]),
        )
        return subtracted(claim.value, outer)

    def _weight(
        self, claim: _Claim, step: int, rho: Table, gamma: Element, sigma: Table, tau: Table
    ) -> Element:
        """eq(a, sigma) h~(tau) + gamma eq(rho, sigma) eq(b, tau), h(k) = eq(rho, k) D_t[k].

        The product of two equality tables is the equality of their points.
        """
        times, inner = self._arithmetic.multiplied, self._arithmetic.inner
        diagonal = self._expanded(Stream.DIAGONAL, step, self._size, nonzero=True)
        h = self._arithmetic.weighted(rho[: self._size], diagonal)
        left = times(inner(claim.a, sigma), inner(h, tau[: self._size]))
        right = times(inner(rho, sigma), inner(claim.b, tau))
        return added(left, times(gamma, right))

    def _sum_check(self, claim: Element, rounds: int) -> tuple[list[Element], Element]:
        """The point of a sum-check, and what the sum's terms must multiply to there."""
        point = []
        for _ in range(rounds):
            message = self._take(ROUND_BYTES)
            self._transcript.absorb(b"round", message)
            point.append(self._transcript.challenge(b"r"))
            claim = self._arithmetic.next_claim(claim, message, point[-1])
        return point, claim

    def _pair(self) -> tuple[Element, Element]:
        pair = self._take(PAIR_BYTES)
        self._transcript.absorb(b"ab", pair)
        return pair[:DEGREE], pair[DEGREE:]

    def _take(self, count: int) -> bytes:
        self._read += count
        return self._proof[self._read - count : self._read]

    def _expanded(
        self, stream: Stream, step: int, count: int, *, nonzero: bool = False
    ) -> Residues:
        return self._arithmetic.expanded(self._key, stream, step, count, nonzero=nonzero)

    def _equality(self, point: list[Element]) -> Table:
        return self._arithmetic.equality(point)


def _require(claim: bool, otherwise: str) -> None:
    if not claim:
        raise Rejected(otherwise)
