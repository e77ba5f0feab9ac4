"""Products of matrices.

Float products have the order C256 (docs/kernels.md): a row's bits do not depend on how many rows
are computed with it, nor on whether weights were packed.
"""

from typing import NamedTuple

from gpu.errors import OperandMismatch
from gpu.ops import calls
from gpu.ops.device import Device, require_apart, require_type, result
from gpu.tensors import DType, PackedWeights, Tensor

_SUMS = {DType.F32: DType.F32, DType.I8: DType.I32}
_KERNELS = {DType.F32: "gemm_f32", DType.I8: "gemm_i8"}
_PACKED = (DType.F32, DType.BF16, DType.I8)
_GROUP_UNIT = 32


class _Side(NamedTuple):
    """An operand of a product as it is to be read: its sizes and the distances of neighbours."""

    rows: int
    columns: int
    row_step: int
    column_step: int


class LinearOperations(Device):
    """matmul, pack, linear."""

    def matmul(
        self,
        left: Tensor,
        right: Tensor,
        *,
        left_transposed: bool = False,
        right_transposed: bool = False,
        out: Tensor | None = None,
    ) -> Tensor:
        """left · right of two matrices: f32 in the order C256, or i8 with exact i32 sums.

        A transposed operand is read with rows and columns exchanged. `out` overlaps no operand.
        """
        if left.dtype is not right.dtype:
            raise OperandMismatch("matmul", "types differ", left=left, right=right)
        require_type("matmul", *_SUMS, left=left, right=right)
        first, second = _side(left, left_transposed), _side(right, right_transposed)
        if first.columns != second.rows:
            problem = f"the inner sizes {first.columns} and {second.rows} differ"
            raise OperandMismatch("matmul", problem, left=left, right=right)
        shape = (first.rows, second.columns)
        out = result(self, "matmul", out, _SUMS[left.dtype], shape)
        require_apart("matmul", out, left=left, right=right)
        call = calls.Gemm(
            *(left.address, right.address, out.address),
            *(first.rows, first.columns, second.columns),
            *(first.row_step, first.column_step, second.row_step, second.column_step),
            out.stride,
        )
        self.launch(_KERNELS[left.dtype], call)
        return out

    def pack(
        self,
        weights: Tensor,
        kind: DType = DType.F32,
        *,
        transposed: bool = False,
        group: int = 128,
    ) -> PackedWeights:
        """Weights (inner x columns, f32) as `linear` reads them; `transposed`: columns x inner.

        BF16 rounds them; I8 keeps 8 bits and a scale per `group` inner elements of a column.
        """
        require_type("pack", DType.F32, weights=weights)
        if kind not in _PACKED or group % _GROUP_UNIT or group < _GROUP_UNIT:
            raise OperandMismatch("pack", f"no {kind} in groups of {group}", weights=weights)
        side = _side(weights, transposed)
        call = calls.Packing(
            weights.address,
            None,
            *(side.rows, side.columns, side.row_step, side.column_step),
            *(kind.number, group),
        )
        data = self.empty(self.measure("packed_size", call))
        call.packed = data.address
        self.launch("pack", call)
        return PackedWeights(kind, side.rows, side.columns, group, data)

    def linear(self, left: Tensor, weights: PackedWeights, *, out: Tensor | None = None) -> Tensor:
        """left · weights in f32: C256 for F32 and BF16; W8A8, which rounds `left` too, for I8."""
        require_type("linear", DType.F32, left=left)
        if len(left.shape) != 2 or left.shape[1] != weights.inner:
            problem = f"left is not rows of {weights.inner}"
            raise OperandMismatch("linear", problem, left=left, weights=weights)
        rows = left.shape[0]
        out = result(self, "linear", out, DType.F32, (rows, weights.columns))
        require_apart("linear", out, left=left)
        call = calls.Linear(
            *(left.address, weights.data.address, out.address),
            *(rows, weights.inner, weights.columns, left.stride, out.stride),
            *(weights.kind.number, weights.group),
        )
        self.launch("linear", call)
        return out


def _side(tensor: Tensor, transposed: bool) -> _Side:
    if len(tensor.shape) != 2:
        raise OperandMismatch("matmul", "operands are matrices", operand=tensor)
    rows, columns = tensor.shape
    if transposed:
        return _Side(columns, rows, 1, tensor.stride)
    return _Side(rows, columns, tensor.stride, 1)
