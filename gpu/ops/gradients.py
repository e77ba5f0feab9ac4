"""Gradients of operations on elements, rows and tokens, and the loss they start from.

Sums over a row have the order L128, sums over the rows of a column C256 (docs/kernels.md).
"""

from gpu.errors import OperandMismatch
from gpu.ops import calls
from gpu.ops.device import Device, address, require_shape, require_type, require_whole, result
from gpu.ops.elementwise import ElementwiseOperations, Unary
from gpu.ops.tokens import TokenOperations
from gpu.tensors import DType, Tensor

_WITH_GRADIENT = (
    *(Unary.TANH, Unary.SIGMOID, Unary.SILU),
    *(Unary.GELU_ERF, Unary.GELU_TANH, Unary.RELU),
)


class GradientOperations(ElementwiseOperations, TokenOperations):
    """apply_gradient, …_gradient, column_sums, add_bias, cross_entropy."""

    def apply_gradient(
        self, function: Unary, x: Tensor, gradient: Tensor, *, out: Tensor | None = None
    ) -> Tensor:
        """gradient · derivative of an activation at x; `out` may be either operand."""
        name = f"{function.name.lower()}_gradient"
        if function not in _WITH_GRADIENT:
            raise OperandMismatch(name, "is no activation", x=x)
        require_shape(name, "gradient", gradient, *x.shape)
        return self._elements("unary_gradient", name, function, x, gradient, out)

    def softmax_gradient(self, y: Tensor, gradient: Tensor, *, out: Tensor | None = None) -> Tensor:
        """The gradient of softmax's rows, from its result `y` and that's gradient."""
        name = "softmax_gradient"
        out = _rows_like(self, name, y, gradient, None, out)
        call = _row_call(y, gradient, None, out, 0.0)
        self.launch(name, call)
        return out

    def rmsnorm_gradient(
        self, x: Tensor, weight: Tensor | None, gradient: Tensor, *, epsilon: float
    ) -> tuple[Tensor, Tensor]:
        """The gradients of rmsnorm's rows and weight."""
        name = "rmsnorm_gradient"
        out = _rows_like(self, name, x, gradient, weight, None)
        call = _row_call(x, gradient, weight, out, epsilon)
        slope = self.empty(x.shape[-1], dtype=DType.F32)
        call.weight_gradient = slope.address
        self.launch(name, call)
        return out, slope

    def layernorm_gradient(
        self, x: Tensor, weight: Tensor | None, gradient: Tensor, *, epsilon: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The gradients of layernorm's rows, weight and bias."""
        name = "layernorm_gradient"
        out = _rows_like(self, name, x, gradient, weight, None)
        call = _row_call(x, gradient, weight, out, epsilon)
        slope, level = (self.empty(x.shape[-1], dtype=DType.F32) for _ in range(2))
        call.weight_gradient, call.bias_gradient = slope.address, level.address
        self.launch(name, call)
        return out, slope, level

    def column_sums(self, x: Tensor, *, out: Tensor | None = None) -> Tensor:
        """The sum over all rows of each column: the gradient of a bias."""
        name, width = "column_sums", x.shape[-1]
        require_type(name, DType.F32, x=x)
        require_whole(name, x=x, out=out)
        out = result(self, name, out, DType.F32, (width,))
        call = calls.RowsGradient(
            None, x.address, None, None, None, out.address, x.size // width, width
        )
        self.launch(name, call)
        return out

    def add_bias(self, x: Tensor, bias: Tensor, *, out: Tensor | None = None) -> Tensor:
        """x + bias, row by row; `out` may be `x`."""
        name, width = "add_bias", x.shape[-1]
        require_type(name, DType.F32, x=x, bias=bias)
        require_whole(name, x=x, bias=bias, out=out)
        require_shape(name, "bias", bias, width)
        out = result(self, name, out, DType.F32, x.shape)
        call = calls.Rows(x.address, None, bias.address, out.address, x.size // width, width)
        self.launch(name, call)
        return out

    def cross_entropy(
        self, logits: Tensor, targets: Tensor, *, mean: bool = True, slope: bool = False
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """-log of softmax at the target of each row: their sum or mean (1), each, and the gradient.

        targets: i32 columns, one per row. The gradient is of the sum or mean, where `slope` asks
        for it. Raises KernelFailed for a target that is no column.
        """
        name, width = "cross_entropy", logits.shape[-1]
        rows = logits.size // width
        require_type(name, DType.F32, logits=logits)
        require_type(name, DType.I32, targets=targets)
        require_whole(name, logits=logits, targets=targets)
        require_shape(name, "targets", targets, *(logits.shape[:-1] or (1,)))
        losses, total = (self.empty(size, dtype=DType.F32) for size in (rows, 1))
        gradient = self.empty(*logits.shape, dtype=DType.F32) if slope else None
        call = calls.CrossEntropy(
            *(logits.address, targets.address, losses.address, total.address, address(gradient)),
            *(rows, width, int(mean)),
        )
        self.launch(name, call)
        return total, losses, gradient

    def embedding_gradient(self, gradient: Tensor, indices: Tensor, rows: int) -> Tensor:
        """The gradient of an embedding's table of `rows` rows: sums in ascending position.

        Raises KernelFailed for an index that is no row.
        """
        name, width = "embedding_gradient", gradient.shape[-1]
        require_type(name, DType.F32, gradient=gradient)
        require_type(name, DType.I32, indices=indices)
        require_whole(name, gradient=gradient, indices=indices)
        require_shape(name, "gradient", gradient, *indices.shape, width)
        out = self.empty(rows, width, dtype=DType.F32)
        call = calls.Scatter(
            *(gradient.address, indices.address, out.address, indices.size, rows, width)
        )
        self.launch("scatter", call)
        return out

    def rope_gradient(
        self,
        gradient: Tensor,
        positions: Tensor,
        frequencies: Tensor,
        *,
        interleaved: bool = False,
        out: Tensor | None = None,
    ) -> Tensor:
        """The gradient of rope's pairs: they turn back, by the angle -(position · frequency)."""
        back = self.apply(Unary.NEGATIVE, frequencies)
        return self.rope(gradient, positions, back, interleaved=interleaved, out=out)


def _rows_like(
    device: Device,
    name: str,
    x: Tensor,
    gradient: Tensor,
    weight: Tensor | None,
    out: Tensor | None,
) -> Tensor:
    require_type(name, DType.F32, x=x, gradient=gradient, weight=weight)
    require_whole(name, x=x, gradient=gradient, out=out)
    require_shape(name, "gradient", gradient, *x.shape)
    require_shape(name, "weight", weight, x.shape[-1])
    return result(device, name, out, DType.F32, x.shape)


def _row_call(
    x: Tensor, gradient: Tensor, weight: Tensor | None, out: Tensor, epsilon: float
) -> calls.RowsGradient:
    width = x.shape[-1]
    return calls.RowsGradient(
        *(x.address, gradient.address, address(weight), out.address, None, None),
        *(x.size // width, width, epsilon),
    )
