"""The prover: from the iterates of a chain to the proof that X_T is what the chain ends in.

Work in n^2 is four products of an iterate with a table of 16 columns, done by the backend where the
iterates are; the rest is work in n, on the host.
"""

from collections.abc import Callable, Iterator
from typing import Final, Generic

import numpy as np

from gpu.backend import Array, Backend
from gpu.proofs.chain241.arithmetic import Arithmetic, Pair
from gpu.proofs.chain241.specification import (
    DEGREE,
    Element,
    Residues,
    Stream,
    Table,
    variables,
)
from gpu.proofs.chain241.transcript import Transcript

Tick = Callable[[float], None]

_LEAST_PART: Final = 64  # what kernels block by


def prove(
    key: bytes,
    size: int,
    iterations: int,
    out: bytes,
    iterate: Callable[[int], Array],
    backend: Backend[Array],
    arithmetic: Arithmetic,
    tick: Tick = lambda _part: None,
) -> bytes:
    """The proof for the statement `out`, `proof_bytes(size, iterations)` long.

    `iterate(t)` gives X_t and is asked for t = T - 1 … 0, each once. `tick` is told the part done
    after each launch, and may raise to cancel.
    """
    done = 0
    prover = _Prover(key, size, out, backend, arithmetic, lambda: tick(done / iterations))
    tables = prover.first_tables()
    for step in reversed(range(iterations)):
        tables = prover.reduced(iterate(step), step, *tables)
        done += 1
    return prover.proof()


class _Prover(Generic[Array]):
    """One side of the conversation; `_messages` is what it said."""

    def __init__(
        self,
        key: bytes,
        size: int,
        out: bytes,
        backend: Backend[Array],
        arithmetic: Arithmetic,
        launched: Callable[[], None],
    ) -> None:
        self._key = key
        self._size = size
        self._backend = backend
        self._arithmetic = arithmetic
        self._launched = launched
        self._messages: list[bytes] = []
        self._transcript = Transcript()
        self._transcript.absorb(b"stmt", out)

    def first_tables(self) -> Pair:
        """Equality tables of the point at which X_T is claimed."""
        count = variables(self._size)
        a = self._transcript.point(b"a", count)
        b = self._transcript.point(b"b", count)
        return self._arithmetic.equality(a), self._arithmetic.equality(b)

    def reduced(self, iterate: Array, step: int, a_table: Table, b_table: Table) -> Pair:
        """From a claim on X_{t+1} at (a, b) to one on X_t, whose equality tables are returned."""
        diagonal = self._diagonal(step, len(a_table))
        f = self._arithmetic.weighted(self._row_sums(a_table, iterate), diagonal)
        g = self._column_sums(iterate, b_table)
        rho, ((alpha, beta),) = self._sum_check((f, g))
        self._say(b"ab", alpha + beta)
        gamma = self._transcript.challenge(b"gamma")
        rho_table = self._arithmetic.equality(rho)
        h = self._arithmetic.weighted(rho_table, diagonal)
        mixed = self._arithmetic.scaled(rho_table, gamma)
        over_k = self._column_sums(iterate, h)
        sigma, ((a_sigma, _), (rho_sigma, _)) = self._sum_check((a_table, over_k), (mixed, g))
        sigma_table = self._arithmetic.equality(sigma)
        weights = self._arithmetic.combined(h, a_sigma, b_table, rho_sigma)
        tau, ((x, _),) = self._sum_check((self._row_sums(sigma_table, iterate), weights))
        self._say(b"x", x)
        return sigma_table, self._arithmetic.equality(tau)

    def proof(self) -> bytes:
        """Everything said, in order."""
        return b"".join(self._messages)

    def _say(self, label: bytes, message: bytes) -> None:
        self._messages.append(message)
        self._transcript.absorb(label, message)

    def _sum_check(self, *pairs: Pair) -> tuple[list[Element], list[tuple[Element, Element]]]:
        """Bind the bits of k in the sum over k of all pairs' products, the highest bit first.

        Returns the point, and what is left of each pair there.
        """
        point, check = [], self._arithmetic.sum_check(pairs)
        while check.rows > 1:
            self._say(b"round", check.message())
            r = self._transcript.challenge(b"r")
            check.bind(r)
            point.append(r)
        return point, [(left.tobytes(), right.tobytes()) for left, right in check.tables()]

    def _diagonal(self, step: int, rows: int) -> Residues:
        """D_t, and zeros up to the next power of two."""
        diagonal = np.zeros(rows, np.uint8)
        diagonal[: self._size] = self._arithmetic.expanded(
            self._key, Stream.DIAGONAL, step, self._size, nonzero=True
        )
        return diagonal

    def _row_sums(self, table: Table, iterate: Array) -> Table:
        """For each column k the sum over i of table[i] X[i, k], zero from n on."""
        size, backend = self._size, self._backend
        left = backend.upload(table[:size].T.tobytes(), DEGREE, size)
        out, every = backend.empty(DEGREE, size), slice(0, size)
        for part in self._parts():
            target = backend.tile(out, slice(0, DEGREE), part)
            backend.product(left, backend.tile(iterate, every, part), target)
            self._launched()
        sums = np.frombuffer(backend.download(out), np.uint8).reshape(DEGREE, size)
        return _padded(sums.T, len(table))

    def _column_sums(self, iterate: Array, table: Table) -> Table:
        """For each row i the sum over k of X[i, k] table[k], zero from n on."""
        size, backend = self._size, self._backend
        right = backend.upload(table[:size].tobytes(), size, DEGREE)
        out, every = backend.empty(size, DEGREE), slice(0, size)
        for part in self._parts():
            target = backend.tile(out, part, slice(0, DEGREE))
            backend.product(backend.tile(iterate, part, every), right, target)
            self._launched()
        sums = np.frombuffer(backend.download(out), np.uint8).reshape(size, DEGREE)
        return _padded(sums, len(table))

    def _parts(self) -> Iterator[slice]:
        """Rows or columns of an iterate that the backend takes at one launch."""
        macs = DEGREE * self._size
        count = max(_LEAST_PART, self._backend.launch_macs // macs // _LEAST_PART * _LEAST_PART)
        for first in range(0, self._size, count):
            yield slice(first, min(first + count, self._size))


def _padded(sums: Table, rows: int) -> Table:
    table = np.zeros((rows, DEGREE), np.uint8)
    table[: len(sums)] = sums
    return table
