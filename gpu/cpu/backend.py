"""The Backend of the CPU: memory is numpy's, operations are C++ kernels."""

import ctypes
import math
import threading
import weakref

import numpy as np
import numpy.typing as npt

from gpu.cpu.host import as_tensor
from gpu.cpu.library import Pool, load_kernels, succeed
from gpu.errors import OperandMismatch
from gpu.ops import Operations
from gpu.ops.calls import Memory
from gpu.tensors import DType, Tensor

Bytes = npt.NDArray[np.uint8]

# About 100 ms on one thread of a 2.9 GHz Zen 3; older machines stay under 250 ms.
_LAUNCH_MACS = {"avx512": 10_000_000_000, "avx2": 5_000_000_000, "baseline": 500_000_000}
_ALIGNMENT = 64


class CpuBackend(Operations):
    """This CPU with one instruction set; `threads` share the work of an operation.

    Several Python threads may use one object: each has its own workspace, and while one of them
    uses the pool, the others work alone. Raises KernelsUnavailable when the library is not built or
    lacks the instruction set.
    """

    def __init__(
        self, isa: str | None = None, *, threads: int = 1, launch_macs: int | None = None
    ) -> None:
        self._kernels = load_kernels(isa)
        self._pool = Pool(threads) if threads > 1 else None
        if self._pool is not None:
            weakref.finalize(self, self._pool.close)
        self._kept = threading.local()
        self.name = f"cpu/{self._kernels.isa}"
        self.launch_macs = launch_macs or _LAUNCH_MACS[self._kernels.isa]

    def empty(self, *shape: int, dtype: DType = DType.U8) -> Tensor:
        """A new tensor of unspecified content. Raises OperandMismatch for an empty shape."""
        if not shape or min(shape) < 1:
            raise OperandMismatch("empty", f"no tensor has the shape {list(shape)}")
        memory, address = _aligned(math.prod(shape) * dtype.item_bytes)
        return Tensor(dtype, shape, address, memory)

    def upload(
        self, data: bytes | bytearray | memoryview, *shape: int, dtype: DType = DType.U8
    ) -> Tensor:
        """The bytes themselves, seen as a tensor to be read only."""
        memory: Bytes = np.frombuffer(data, np.uint8)
        if not shape or min(shape) < 1 or memory.size != math.prod(shape) * dtype.item_bytes:
            raise OperandMismatch("upload", f"{memory.size} bytes for {dtype}{list(shape)}")
        address = int(memory.__array_interface__["data"][0])
        return Tensor(dtype, shape, address, memory, writable=False)

    def download(self, tensor: Tensor) -> memoryview:
        """The elements as bytes, row-major, in the tensor's own memory where it has no gaps."""
        rows = _rows_of(tensor)
        return np.ascontiguousarray(rows).data.cast("B")

    def tile(self, tensor: Tensor, rows: slice, columns: slice) -> Tensor:
        """A part of a matrix, in the same memory."""
        return tensor.tile(rows, columns)

    def equal(self, left: Tensor, right: Tensor) -> bool:
        """Whether types, shapes and bytes are the same."""
        if left.dtype is not right.dtype or left.shape != right.shape:
            return False
        return np.array_equal(_rows_of(left), _rows_of(right))

    def expand(
        self,
        out: Tensor | Bytes,
        key: bytes,
        stream: int,
        step: int,
        *,
        first: int = 0,
        nonzero: bool = False,
    ) -> None:
        """See Backend; a numpy matrix is filled in place."""
        out = out if isinstance(out, Tensor) else as_tensor(out)
        super().expand(out, key, stream, step, first=first, nonzero=nonzero)

    def product(
        self,
        left: Tensor | Bytes,
        right: Tensor | Bytes,
        out: Tensor | Bytes,
        *,
        scale: Tensor | None = None,
        column: Tensor | None = None,
        row: Tensor | None = None,
    ) -> None:
        """See Backend; numpy matrices are read and written in place."""
        left, right, out = (
            operand if isinstance(operand, Tensor) else as_tensor(operand)
            for operand in (left, right, out)
        )
        super().product(left, right, out, scale=scale, column=column, row=row)

    def launch(self, operation: str, call: ctypes.Structure) -> None:
        """Run a kernel with this thread's workspace and this backend's pool."""
        if self._pool is not None and hasattr(call, "pool"):
            call.pool = self._pool.address
        question = operation + "_workspace"
        if hasattr(call, "workspace"):
            call.workspace = self._workspace(self._kernels[question](call))
        succeed(operation, self._kernels[operation](call))

    def measure(self, question: str, call: ctypes.Structure) -> int:
        """What a kernel says about a call."""
        return self._kernels[question](call)

    def _workspace(self, size: int) -> Memory:
        """This thread's memory for kernels, kept: fresh pages cost more than a small product."""
        kept: tuple[Bytes, int] | None = getattr(self._kept, "workspace", None)
        if kept is None or kept[0].size < size:
            kept = self._kept.workspace = _aligned(size)
        return Memory(kept[1], kept[0].size)


def _aligned(size: int) -> tuple[Bytes, int]:
    """Memory of a size, and its address; both end with the array."""
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    skipped = -int(memory.__array_interface__["data"][0]) % _ALIGNMENT
    part = memory[skipped : skipped + size]
    return part, int(part.__array_interface__["data"][0])


class _Rows:
    """A tensor as numpy takes over its memory: a matrix of bytes that keeps the tensor."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
        item_bytes, width = tensor.dtype.item_bytes, tensor.shape[-1]
        self.__array_interface__ = {
            "version": 3,
            "typestr": "|u1",
            "data": (tensor.address, not tensor.writable),
            "shape": (tensor.size // width, width * item_bytes),
            "strides": (tensor.stride * item_bytes, 1),
        }


def _rows_of(tensor: Tensor) -> Bytes:
    """A tensor as a matrix of bytes, in the same memory."""
    return np.asarray(_Rows(tensor))
