"""Operations on rows: the last axis of an f32 tensor. Sums over rows have the order L128."""

from gpu.errors import OperandMismatch
from gpu.ops import calls
from gpu.ops.device import Device, address, require_shape, require_type, require_whole, result
from gpu.tensors import DType, Tensor


class RowOperations(Device):
    """softmax, rmsnorm, layernorm, row_sums, top_k, argmax."""

    def softmax(self, x: Tensor, *, out: Tensor | None = None) -> Tensor:
        """exp(x - largest) / sum, row by row; a row with a NaN or +infinity becomes NaN."""
        return self._rows("softmax", x, None, None, 0.0, out)

    def rmsnorm(
        self, x: Tensor, weight: Tensor | None, *, epsilon: float, out: Tensor | None = None
    ) -> Tensor:
        """x / sqrt(mean of squares + epsilon) · weight, row by row."""
        return self._rows("rmsnorm", x, weight, None, epsilon, out)

    def layernorm(
        self,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        *,
        epsilon: float,
        out: Tensor | None = None,
    ) -> Tensor:
        """(x - mean) / sqrt(variance + epsilon) · weight + bias, row by row."""
        return self._rows("layernorm", x, weight, bias, epsilon, out)

    def row_sums(self, x: Tensor, *, out: Tensor | None = None) -> Tensor:
        """The sum of each row."""
        require_type("row_sums", DType.F32, x=x)
        require_whole("row_sums", x=x)
        out = result(self, "row_sums", out, DType.F32, x.shape[:-1] or (1,))
        width = x.shape[-1]
        self.launch(
            "row_sums", calls.Rows(x.address, None, None, out.address, x.size // width, width)
        )
        return out

    def top_k(self, x: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """The largest of each row and their i32 indices, largest first, then by ascending index.

        The order is total: -infinity < … < -0 < +0 < … < infinity < NaN.
        """
        require_type("top_k", DType.F32, x=x)
        require_whole("top_k", x=x)
        width = x.shape[-1]
        if not 1 <= count <= width:
            raise OperandMismatch("top_k", f"a row has no {count} elements", x=x)
        shape = (*x.shape[:-1], count)
        values = self.empty(*shape, dtype=DType.F32)
        indices = self.empty(*shape, dtype=DType.I32)
        call = calls.Best(x.address, values.address, indices.address, x.size // width, width, count)
        self.launch("best", call)
        return values, indices

    def argmax(self, x: Tensor) -> Tensor:
        """The i32 index of the largest of each row, the first of equal ones; order as in top_k."""
        _, indices = self.top_k(x, 1)
        return indices.reshape(*(x.shape[:-1] or (1,)))

    def _rows(
        self,
        operation: str,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        epsilon: float,
        out: Tensor | None,
    ) -> Tensor:
        require_type(operation, DType.F32, x=x, weight=weight, bias=bias)
        require_whole(operation, x=x, weight=weight, bias=bias, out=out)
        width = x.shape[-1]
        require_shape(operation, "weight", weight, width)
        require_shape(operation, "bias", bias, width)
        out = result(self, operation, out, DType.F32, x.shape)
        call = calls.Rows(
            *(x.address, address(weight), address(bias), out.address),
            *(x.size // width, width, epsilon),
        )
        self.launch(operation, call)
        return out
