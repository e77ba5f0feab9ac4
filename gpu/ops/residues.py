"""Exact operations on matrices of residues mod 241: what chains and their checks are made of."""

from gpu.errors import KernelFailed, OperandMismatch
from gpu.ops import calls
from gpu.ops.device import (
    Device,
    address,
    require_apart,
    require_shape,
    require_whole,
    there,
)
from gpu.tensors import DType, Tensor

_KEY_BYTES = 32


class ResidueOperations(Device):
    """expand, product, scale_rows, is_canonical: see gpu.backend.Backend."""

    def expand(
        self,
        out: Tensor,
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
        _require_bytes("expand", out=out)
        require_apart("expand", out)
        require_whole("expand", out=out)
        values, lowest = (240, 1) if nonzero else (241, 0)
        call = calls.Expansion(key, out.address, first, out.size, stream, step, values, lowest)
        self.launch("chain241_expand", call)

    def product(
        self,
        left: Tensor,
        right: Tensor,
        out: Tensor,
        *,
        scale: Tensor | None = None,
        column: Tensor | None = None,
        row: Tensor | None = None,
    ) -> None:
        """out = left · diag(scale) · right + column ⊗ row mod 241, see Backend."""
        _require_bytes("product", left=left, right=right, out=out, scale=scale)
        _require_bytes("product", column=column, row=row)
        (rows, inner), columns = left.shape, right.shape[1]
        if right.shape[0] != inner or out.shape != (rows, columns):
            raise OperandMismatch("product", "sizes differ", left=left, right=right, out=out)
        if (column is None) != (row is None):
            raise OperandMismatch("product", "column and row come together", left=left, right=right)
        require_shape("product", "scale", scale, 1, inner)
        require_shape("product", "column", column, 1, rows)
        require_shape("product", "row", row, 1, columns)
        require_apart("product", out, left=left, right=right)
        call = calls.Product(
            *(left.address, right.address, out.address),
            *(address(scale), address(column), address(row)),
            *(left.stride, right.stride, out.stride, rows, inner, columns),
        )
        self.launch("chain241_product", call)

    def scale_rows(self, array: Tensor, factors: Tensor) -> None:
        """Multiply row i by factors[i] mod 241, in place."""
        _require_bytes("scale_rows", array=array, factors=factors)
        rows, width = array.shape
        require_shape("scale_rows", "factors", factors, 1, rows)
        require_apart("scale_rows", array, factors=factors)
        call = calls.ResidueRows(array.address, factors.address, rows, width, array.stride)
        self.launch("chain241_scale_rows", call)

    def is_canonical(self, array: Tensor) -> bool:
        """Whether every byte is at most 240."""
        _require_bytes("is_canonical", array=array)
        call = calls.ResidueRows(array.address, None, *array.shape, array.stride)
        return bool(self.measure("chain241_is_canonical", call))


def _require_bytes(operation: str, **operands: Tensor | None) -> None:
    """Raise OperandMismatch unless every operand is a matrix of bytes; None is absent."""
    for tensor in operands.values():
        if tensor is not None and (tensor.dtype is not DType.U8 or len(tensor.shape) != 2):
            raise OperandMismatch(operation, "operands are matrices of bytes", **there(operands))
