"""The Backend of the CPU: arrays are numpy matrices of bytes, operations are C++ kernels.

The kernels get raw addresses, so every shape and stride is checked here first.
"""

import ctypes
import threading

import numpy as np
import numpy.typing as npt

from gpu.cpu.library import Expansion, Product, load_kernels, succeed
from gpu.errors import KernelFailed

Matrix = npt.NDArray[np.uint8]

# About 100 ms on one thread of a 2.9 GHz Zen 3; older machines stay under 250 ms.
_LAUNCH_MACS = {"avx2": 5_000_000_000, "baseline": 500_000_000}
_KEY_BYTES = 32


class CpuBackend:
    """One thread of this CPU; several threads may use one object, each has its own workspace.

    Raises KernelsUnavailable when the library is not built or lacks the instruction set.
    """

    def __init__(self, isa: str | None = None, *, launch_macs: int | None = None) -> None:
        self._kernels = load_kernels(isa)
        self._kept = threading.local()
        self.name = f"cpu/{self._kernels.isa}"
        self.launch_macs = launch_macs or _LAUNCH_MACS[self._kernels.isa]

    def empty(self, rows: int, columns: int) -> Matrix:
        """A new array of unspecified content."""
        return np.empty((rows, columns), np.uint8)

    def upload(self, data: bytes | memoryview, rows: int, columns: int) -> Matrix:
        """The bytes themselves, seen as a matrix."""
        if len(data) != rows * columns:
            raise KernelFailed("upload", f"{len(data)} bytes for a {rows} x {columns} matrix")
        return np.frombuffer(data, np.uint8).reshape(rows, columns)

    def download(self, array: Matrix) -> memoryview:
        """The matrix itself, seen as bytes."""
        return np.ascontiguousarray(array).data.cast("B")

    def tile(self, array: Matrix, rows: slice, columns: slice) -> Matrix:
        """A view."""
        return array[rows, columns]

    def expand(
        self,
        out: Matrix,
        key: bytes,
        stream: int,
        step: int,
        *,
        first: int = 0,
        nonzero: bool = False,
    ) -> None:
        """Fill with elements of a ChaCha20 stream, see Backend."""
        if len(key) != _KEY_BYTES:
            raise KernelFailed("expand", f"the key has {len(key)} bytes, not {_KEY_BYTES}")
        _require_own_memory("expand", out)
        _require_whole("expand", out)
        values, lowest = (240, 1) if nonzero else (241, 0)
        arguments = Expansion(key, _address(out), first, out.size, stream, step, values, lowest)
        succeed("expand", self._kernels.expand(ctypes.byref(arguments)))

    def product(
        self,
        left: Matrix,
        right: Matrix,
        out: Matrix,
        *,
        scale: Matrix | None = None,
        column: Matrix | None = None,
        row: Matrix | None = None,
    ) -> None:
        """out = left · diag(scale) · right + column ⊗ row mod 241, see Backend."""
        (rows, inner), columns = left.shape, right.shape[1]
        _require("product", left=(left, rows, inner), right=(right, inner, columns))
        _require("product", out=(out, rows, columns), scale=(scale, 1, inner))
        _require("product", column=(column, 1, rows), row=(row, 1, columns))
        _require_own_memory("product", out, left, right)
        arguments = Product(
            *(_address(matrix) for matrix in (left, right, out, scale, column, row)),
            *(_stride(matrix) for matrix in (left, right, out)),
            rows,
            inner,
            columns,
        )
        workspace = self._workspace(self._kernels.product_workspace(ctypes.byref(arguments)))
        arguments.workspace, arguments.workspace_size = _address(workspace), workspace.size
        succeed("product", self._kernels.product(ctypes.byref(arguments)))

    def scale_rows(self, array: Matrix, factors: Matrix) -> None:
        """Multiply row i by factors[i] mod 241, in place."""
        rows, width = array.shape
        _require("scale_rows", factors=(factors, 1, rows))
        _require_own_memory("scale_rows", array, factors)
        _require_whole("scale_rows", array)
        status = self._kernels.scale_rows(_address(array), _address(factors), rows, width)
        succeed("scale_rows", status)

    def is_canonical(self, array: Matrix) -> bool:
        """Whether every byte is at most 240."""
        whole = np.ascontiguousarray(array)
        return bool(self._kernels.is_canonical(_address(whole), whole.size))

    def equal(self, left: Matrix, right: Matrix) -> bool:
        """Whether shapes and bytes are the same."""
        return np.array_equal(left, right)

    def _workspace(self, size: int) -> npt.NDArray[np.uint8]:
        """This thread's memory for kernels, kept: fresh pages cost more than a small product."""
        kept: npt.NDArray[np.uint8] | None = getattr(self._kept, "workspace", None)
        if kept is None or kept.size < size:
            kept = self._kept.workspace = np.empty(size, np.uint8)
        return kept


def _require(operation: str, **operands: tuple[Matrix | None, int, int]) -> None:
    """Raise KernelFailed unless each operand is rows of bytes of its shape; None is absent."""
    for name, (array, rows, columns) in operands.items():
        if array is None:
            continue
        gapless = array.strides[-1] == 1 or columns <= 1
        if array.shape != (rows, columns) or array.dtype != np.uint8 or not gapless:
            raise KernelFailed(operation, f"{name} is not {rows} gapless rows of {columns} bytes")


def _require_own_memory(operation: str, out: Matrix, *operands: Matrix) -> None:
    if not out.flags.writeable or any(np.may_share_memory(out, operand) for operand in operands):
        raise KernelFailed(operation, "the result needs writable memory of its own")


def _require_whole(operation: str, array: Matrix) -> None:
    if not array.flags.c_contiguous or array.dtype != np.uint8:
        raise KernelFailed(operation, "the array is not one run of bytes")


def _address(array: Matrix | None) -> int | None:
    return None if array is None else array.ctypes.data


def _stride(array: Matrix) -> int:
    """The distance of two rows; numpy gives any number when there is only one."""
    return array.strides[0] if array.shape[0] > 1 else array.shape[1]
