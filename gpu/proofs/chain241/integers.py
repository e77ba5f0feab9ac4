"""Arithmetic in E with NumPy's integers: no floating point, no compiled code of our own.

Sums are kept in 32 or 64 bits without reduction: 65,536 products of two residues are at most
3,774,873,600 < 2^32.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from gpu.proofs.chain241 import keystream
from gpu.proofs.chain241.arithmetic import Pair, SumCheck
from gpu.proofs.chain241.specification import (
    DEGREE,
    MODULUS,
    NON_RESIDUE,
    ONE,
    ZERO,
    Element,
    Residues,
    Stream,
    Table,
    added,
)

_Sums = npt.NDArray[np.int64]

_BLOCK_ROWS: Final = 64
_EXPANSION: Final = 1 << 21  # elements of X_0 held at a time


class IntegerArithmetic:
    """See Arithmetic."""

    name = "integers"

    def multiplied(self, a: Element, b: Element) -> Element:
        """The product of two polynomials, then x^16 = 7."""
        degrees: _Sums = np.convolve(_wide(a), _wide(b)).astype(np.int64)
        return _reduced(degrees)

    def next_claim(self, claim: Element, message: bytes, point: Element) -> Element:
        """Horner's rule."""
        c0, c2, r = _wide(message[:DEGREE]), _wide(message[DEGREE:]), _matrix(point)
        slope: _Sums = (_wide(claim) - 2 * c0 - c2 + c2 @ r) % MODULUS
        return _canonical(c0 + slope @ r).tobytes()

    def equality(self, point: Sequence[Element]) -> Table:
        """Doubled for each coordinate: eq(r, 0) = 1 - r, eq(r, 1) = r."""
        table = _row(ONE)
        for coordinate in point:
            ones = self.scaled(table, coordinate)
            table = np.stack([_difference(table, ones), ones], axis=1).reshape(-1, DEGREE)
        return table

    def scaled(self, table: Table, factor: Element) -> Table:
        """A product with the matrix of the multiplication by `factor`."""
        return _canonical(table.astype(np.int64) @ _matrix(factor))

    def weighted(self, table: Table, weights: Residues) -> Table:
        """Row by row."""
        return _canonical(table.astype(np.int64) * weights[:, None])

    def combined(self, first: Table, a: Element, second: Table, b: Element) -> Table:
        """Two products with matrices."""
        return _canonical(
            first.astype(np.int64) @ _matrix(a) + second.astype(np.int64) @ _matrix(b)
        )

    def inner(self, left: Table, right: Table) -> Element:
        """All coefficients with all, then collected by their degree."""
        products = left.T.astype(np.int64) @ right.astype(np.int64)
        degrees = np.zeros(2 * DEGREE - 1, np.int64)
        for i in range(DEGREE):
            degrees[i : i + DEGREE] += products[i]
        return _reduced(degrees)

    def evaluated(self, vector: Residues, table: Table) -> Element:
        """One product of a vector and a matrix."""
        return _canonical(vector.astype(np.int64) @ table.astype(np.int64)).tobytes()

    def image(self, matrix: Residues, table: Table) -> Table:
        """Dot products in 32 bits; einsum's are the fast ones among NumPy's integers."""
        image = np.empty((len(matrix), DEGREE), np.uint8)
        columns = np.ascontiguousarray(table.T).astype(np.uint32)
        for first in range(0, len(matrix), _BLOCK_ROWS):
            rows = matrix[first : first + _BLOCK_ROWS].astype(np.uint32)
            sums = np.einsum("ik,ck->ic", rows, columns)
            image[first : first + _BLOCK_ROWS] = sums % np.uint32(MODULUS)
        return image

    def start_image(self, key: bytes, table: Table) -> Table:
        """Part after part."""
        size, image = len(table), np.empty_like(table)
        rows = max(1, _EXPANSION // size)
        for first in range(0, size, rows):
            count = min(rows, size - first)
            part = self.expanded(key, Stream.START, 0, count * size, first=first * size)
            image[first : first + count] = self.image(part.reshape(count, size), table)
        return image

    def sum_check(self, pairs: Sequence[Pair]) -> SumCheck:
        """Pair by pair."""
        return _IntegerSumCheck(self, pairs)

    def expanded(
        self,
        key: bytes,
        stream: Stream,
        step: int,
        count: int,
        *,
        first: int = 0,
        nonzero: bool = False,
    ) -> Residues:
        """ChaCha20, see `keystream`."""
        return keystream.residues(key, stream, step, first, count, nonzero=nonzero)


class _IntegerSumCheck:
    """See SumCheck."""

    def __init__(self, arithmetic: IntegerArithmetic, pairs: Sequence[Pair]) -> None:
        self._arithmetic = arithmetic
        self._pairs = list(pairs)

    @property
    def rows(self) -> int:
        """Of any table."""
        return len(self._pairs[0][0])

    def message(self) -> bytes:
        """The products of the lower halves, and of the differences of the halves."""
        constant = square = ZERO
        for left, right in self._pairs:
            (low_left, left_slopes), (low_right, right_slopes) = _lines(left), _lines(right)
            constant = added(constant, self._arithmetic.inner(low_left, low_right))
            square = added(square, self._arithmetic.inner(left_slopes, right_slopes))
        return constant + square

    def bind(self, challenge: Element) -> None:
        """A line through two rows, at `challenge`."""
        factor = _matrix(challenge)
        self._pairs = [(_at(factor, left), _at(factor, right)) for left, right in self._pairs]

    def tables(self) -> list[Pair]:
        """As they are."""
        return self._pairs


def _row(element: Element) -> Table:
    return np.frombuffer(element, np.uint8).reshape(1, DEGREE)


def _wide(element: Element) -> _Sums:
    return np.frombuffer(element, np.uint8).astype(np.int64)


def _reduced(degrees: _Sums) -> Element:
    """The polynomial with these 31 coefficients, modulo x^16 - 7."""
    low, high = degrees[:DEGREE].copy(), degrees[DEGREE:]
    low[: len(high)] += NON_RESIDUE * high
    return _canonical(low).tobytes()


def _matrix(factor: Element) -> _Sums:
    """Row i = x^i · factor, so that the coefficients of an element times it are the product."""
    rows = np.empty((DEGREE, DEGREE), np.int64)
    rows[0] = _wide(factor)
    for i in range(1, DEGREE):
        rows[i, 1:] = rows[i - 1, :-1]
        rows[i, 0] = NON_RESIDUE * rows[i - 1, -1] % MODULUS
    return rows


def _canonical(sums: _Sums) -> Table:
    return (sums % MODULUS).astype(np.uint8)


def _difference(a: Table, b: Table) -> Table:
    return _canonical(a.astype(np.int64) - b)


def _lines(table: Table) -> Pair:
    """The lower half, and what leads to the upper one."""
    half = len(table) // 2
    return table[:half], _difference(table[half:], table[:half])


def _at(factor: _Sums, table: Table) -> Table:
    low, slopes = _lines(table)
    return _canonical(low + slopes.astype(np.int64) @ factor)
