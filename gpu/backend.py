"""What a device must offer to chains: a few operations on matrices of residues mod 241.

An array belongs to its backend and is opaque to everyone else; bytes enter by `upload` and leave by
`download`. Every array is a row-major matrix of bytes; a vector is a matrix of one row. Residues
are the bytes 0..240. Each operation gives the same bytes on every backend.
"""

from typing import Protocol, TypeVar

Array = TypeVar("Array")


class Backend(Protocol[Array]):
    """A device. Operations raise KernelFailed when operands do not fit each other."""

    @property
    def name(self) -> str:
        """Device and instruction set, e.g. `cpu/avx2`."""

    @property
    def launch_macs(self) -> int:
        """The most multiply-adds to ask for in one call: about 100 ms of this device's time."""

    def empty(self, rows: int, columns: int) -> Array:
        """A new array of unspecified content."""

    def upload(self, data: bytes | memoryview, rows: int, columns: int) -> Array:
        """An array of these bytes, to be read only: it may share their memory."""

    def download(self, array: Array) -> memoryview:
        """The bytes of a whole array, row-major; they may share its memory."""

    def tile(self, array: Array, rows: slice, columns: slice) -> Array:
        """A part of an array, in the same memory."""

    def expand(
        self,
        out: Array,
        key: bytes,
        stream: int,
        step: int,
        *,
        first: int = 0,
        nonzero: bool = False,
    ) -> None:
        """Fill `out` with elements first, first + 1, … of a key's stream, uniform in 0..240.

        With `nonzero` they are uniform in 1..240. `out` is a whole array or whole rows of one.
        """

    def product(
        self,
        left: Array,
        right: Array,
        out: Array,
        *,
        scale: Array | None = None,
        column: Array | None = None,
        row: Array | None = None,
    ) -> None:
        """out = left · diag(scale) · right + column ⊗ row mod 241; `out` overlaps no operand.

        `column` and `row` come together.
        """

    def scale_rows(self, array: Array, factors: Array) -> None:
        """Multiply row i by factors[i] mod 241, in place."""

    def is_canonical(self, array: Array) -> bool:
        """Whether every byte is a residue, that is at most 240."""

    def equal(self, left: Array, right: Array) -> bool:
        """Whether two arrays have the same shape and bytes."""
