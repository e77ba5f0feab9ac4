"""Tensors: a type, a shape and a piece of a device's memory, the same for every device.

A tensor keeps its memory alive. It is row-major; only the rows of a matrix may lie apart (a `tile`
of a larger one), elsewhere it has no gaps. What is in it is reached through its backend: `upload`,
`download`, and operations.
"""

import math
from enum import Enum

from gpu.errors import OperandMismatch


class DType(Enum):
    """Types of elements: name, bytes of one, and the number that kernels know it by."""

    F32 = ("f32", 4, 0)
    BF16 = ("bf16", 2, 1)
    F16 = ("f16", 2, 2)
    I8 = ("i8", 1, 3)
    I32 = ("i32", 4, 4)
    U8 = ("u8", 1, 5)
    U32 = ("u32", 4, 6)

    def __init__(self, label: str, item_bytes: int, number: int) -> None:
        self.label = label
        self.item_bytes = item_bytes
        self.number = number

    def __str__(self) -> str:
        return self.label


class Tensor:
    """Elements of one type in a shape. Made by a backend, never directly.

    `stride` is the distance of two rows in elements; `address` is of the device's memory.
    """

    __slots__ = ("address", "dtype", "memory", "shape", "stride", "writable")

    def __init__(
        self,
        dtype: DType,
        shape: tuple[int, ...],
        address: int,
        memory: object,
        *,
        stride: int | None = None,
        writable: bool = True,
    ) -> None:
        self.dtype = dtype
        self.shape = shape
        self.address = address
        self.memory = memory
        self.stride = shape[-1] if stride is None else stride
        self.writable = writable

    def __repr__(self) -> str:
        return f"{self.dtype}{list(self.shape)}"

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def whole(self) -> bool:
        """Whether there are no gaps between rows."""
        return self.stride == self.shape[-1] or len(self.shape) < 2 or self.shape[0] == 1

    @property
    def end(self) -> int:
        """The address behind the last element."""
        last_row = (math.prod(self.shape[:-1]) - 1) * self.stride
        return self.address + (last_row + self.shape[-1]) * self.dtype.item_bytes

    def overlaps(self, other: "Tensor") -> bool:
        """Whether the spans of two tensors share memory."""
        return self.address < other.end and other.address < self.end

    def tile(self, rows: slice, columns: slice) -> "Tensor":
        """A part of a matrix, in the same memory. Raises OperandMismatch."""
        if len(self.shape) != 2:
            raise OperandMismatch("tile", "only a matrix has tiles", tensor=self)
        height, width = self.shape
        top, bottom, _ = rows.indices(height)
        left, right, _ = columns.indices(width)
        if bottom <= top or right <= left:
            raise OperandMismatch("tile", f"nothing is in {rows}, {columns}", tensor=self)
        start = self.address + (top * self.stride + left) * self.dtype.item_bytes
        return Tensor(
            self.dtype,
            (bottom - top, right - left),
            start,
            self.memory,
            stride=self.stride,
            writable=self.writable,
        )

    def reshape(self, *shape: int) -> "Tensor":
        """The same elements in another shape, in the same memory. Raises OperandMismatch."""
        if not self.whole or math.prod(shape) != self.size or min(shape) < 1:
            raise OperandMismatch("reshape", f"does not become {list(shape)}", tensor=self)
        return Tensor(self.dtype, shape, self.address, self.memory, writable=self.writable)


class PackedWeights:
    """A matrix of weights in the layout that a device's `linear` reads; made by `pack`.

    `kind` is how they are kept: F32, BF16, or I8 with a scale per `group` of inner elements.
    """

    __slots__ = ("columns", "data", "group", "inner", "kind")

    def __init__(self, kind: DType, inner: int, columns: int, group: int, data: Tensor) -> None:
        self.kind = kind
        self.inner = inner
        self.columns = columns
        self.group = group
        self.data = data

    def __repr__(self) -> str:
        return f"packed {self.kind}[{self.inner}, {self.columns}]"


class KeyValues:
    """Keys and values of sequences, kept for attention; made by `key_values`, filled by `append`.

    Every sequence has room for `capacity` tokens. keys: f32 (sequences, heads, blocks, size, 64);
    values: f32 (sequences, heads, blocks, 64, size rounded up to 16), the same on every device.
    """

    __slots__ = ("keys", "size", "values")

    BLOCK = 64
    UNIT = 16

    def __init__(self, keys: Tensor, values: Tensor, size: int) -> None:
        self.keys = keys
        self.values = values
        self.size = size

    def __repr__(self) -> str:
        return f"key_values[{self.sequences}, {self.heads}, {self.capacity}, {self.size}]"

    @property
    def sequences(self) -> int:
        """The number of sequences."""
        return self.keys.shape[0]

    @property
    def heads(self) -> int:
        """The number of heads that have keys and values."""
        return self.keys.shape[1]

    @property
    def blocks(self) -> int:
        """The number of blocks of keys that each sequence has."""
        return self.keys.shape[2]

    @property
    def capacity(self) -> int:
        """The number of tokens that a sequence may have."""
        return self.blocks * self.BLOCK
