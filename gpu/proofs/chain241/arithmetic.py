"""What prover and verifier must be able to compute in E = F_241[x] / (x^16 - 7).

Two implementations give the same bytes: `integers` with NumPy's integers alone, `native` with the
C++ kernels. The protocols above them are written once, over this interface.
"""

from collections.abc import Sequence
from typing import Protocol

from gpu.proofs.chain241.specification import Element, Residues, Stream, Table

Pair = tuple[Table, Table]


class Arithmetic(Protocol):
    """Exact arithmetic on elements, tables of elements, and residues.

    Operands are canonical and fit each other: callers see to it. No operation changes an operand.
    """

    @property
    def name(self) -> str:
        """Which implementation this is, e.g. `integers`."""

    def multiplied(self, a: Element, b: Element) -> Element:
        """a b."""

    def next_claim(self, claim: Element, message: bytes, point: Element) -> Element:
        """p(point) for the p of degree 2 with p(0) + p(1) = claim, of which the message gives
        c0 = p(0) and c2: so c1 = claim - 2 c0 - c2, and p cannot contradict the claim."""

    def equality(self, point: Sequence[Element]) -> Table:
        """eq(point, k) for k = 0 .. 2^m - 1; the first coordinate belongs to the highest bit."""

    def scaled(self, table: Table, factor: Element) -> Table:
        """Each row times `factor`."""

    def weighted(self, table: Table, weights: Residues) -> Table:
        """Row k times weights[k], which is in F_241."""

    def combined(self, first: Table, a: Element, second: Table, b: Element) -> Table:
        """a · first + b · second."""

    def inner(self, left: Table, right: Table) -> Element:
        """The sum of left[k] right[k]."""

    def evaluated(self, vector: Residues, table: Table) -> Element:
        """The sum of vector[k] table[k]: with an equality table, the vector's extension there."""

    def image(self, matrix: Residues, table: Table) -> Table:
        """matrix · table."""

    def start_image(self, key: bytes, table: Table) -> Table:
        """X_0 · table, with as many rows as the table has; X_0 is expanded a few rows at a time."""

    def sum_check(self, pairs: Sequence[Pair]) -> "SumCheck":
        """Of the sum over k of left[k] right[k] over all pairs, each with the same 2^m rows."""

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
        """Elements first .. first + count - 1 of a stream of the key."""


class SumCheck(Protocol):
    """A sum over k whose bits of k are bound one after the other, the highest first."""

    @property
    def rows(self) -> int:
        """How many terms are left, of each pair."""

    def message(self) -> bytes:
        """c0 and c2 of p(x) = sum over k < half of l_k(x) r_k(x), of all pairs together, 32 bytes.

        l_k(x) = left[k] + x (left[k + half] - left[k]), r_k likewise; rows must be even.
        """

    def bind(self, challenge: Element) -> None:
        """Half as many rows: l_k(challenge), r_k(challenge)."""

    def tables(self) -> list[Pair]:
        """What is left of the pairs."""
