"""Operations on each element: functions, arithmetic, casts, random numbers."""

from enum import IntEnum

from gpu.errors import OperandMismatch
from gpu.ops import calls
from gpu.ops.device import Device, address, require_type, require_whole, result
from gpu.tensors import DType, Tensor


class Unary(IntEnum):
    """Functions of one number, in the order of csrc/math/unary.h."""

    EXP = 0
    LOG = 1
    SIN = 2
    COS = 3
    TANH = 4
    ERF = 5
    SIGMOID = 6
    SILU = 7
    GELU_ERF = 8
    GELU_TANH = 9
    RELU = 10
    SQUARE_ROOT = 11
    RECIPROCAL_ROOT = 12
    MAGNITUDE = 13
    NEGATIVE = 14


class Binary(IntEnum):
    """Functions of two numbers, in the order of csrc/math/unary.h."""

    ADD = 0
    SUBTRACT = 1
    MULTIPLY = 2
    DIVIDE = 3
    SMALLER = 4
    LARGER = 5
    POW = 6


class Distribution(IntEnum):
    """What random numbers are: 32-bit words, uniform in [0, 1), or standard normal."""

    WORDS = 0
    UNIFORM = 1
    NORMAL = 2


class ElementwiseOperations(Device):
    """apply, combine, cast, random."""

    def apply(self, function: Unary, x: Tensor, *, out: Tensor | None = None) -> Tensor:
        """function(x) of each f32 element; `out` may be `x`."""
        name = function.name.lower()
        return self._elements("unary", name, function, x, None, out)

    def combine(
        self, function: Binary, x: Tensor, y: Tensor, *, out: Tensor | None = None
    ) -> Tensor:
        """function(x, y) of each pair of f32 elements; `out` may be either."""
        name = function.name.lower()
        if x.shape != y.shape:
            raise OperandMismatch(name, "shapes differ", x=x, y=y)
        return self._elements("binary", name, function, x, y, out)

    def cast(self, x: Tensor, dtype: DType, *, out: Tensor | None = None) -> Tensor:
        """f32 to bf16, f16, i8 (nearest, ties to even; saturating) or i32 (towards 0), and back."""
        require_whole("cast", x=x, out=out)
        if DType.F32 not in (x.dtype, dtype) or {DType.U8, DType.U32} & {x.dtype, dtype}:
            raise OperandMismatch("cast", f"there is no cast to {dtype}", x=x)
        if x.dtype is dtype:
            raise OperandMismatch("cast", f"is {dtype} already", x=x)
        out = result(self, "cast", out, dtype, x.shape)
        call = calls.Cast(x.address, out.address, x.size, x.dtype.number, dtype.number)
        self.launch("cast", call)
        return out

    def random(
        self,
        distribution: Distribution,
        *shape: int,
        key: tuple[int, int],
        stream: int,
        step: int = 0,
        first: int = 0,
        out: Tensor | None = None,
    ) -> Tensor:
        """Elements first, first + 1, … of a Philox stream, row-major; u32 words or f32.

        Each element is a function of its number, the key (two words), the stream and the step.
        """
        dtype = DType.U32 if distribution is Distribution.WORDS else DType.F32
        out = result(self, "random", out, dtype, shape)
        require_whole("random", out=out)
        call = calls.Random(out.address, first, out.size, key, stream, step, distribution)
        self.launch("random", call)
        return out

    def _elements(
        self,
        kernel: str,
        name: str,
        function: int,
        x: Tensor,
        y: Tensor | None,
        out: Tensor | None,
    ) -> Tensor:
        require_type(name, DType.F32, x=x, y=y)
        require_whole(name, x=x, y=y, out=out)
        out = result(self, name, out, DType.F32, x.shape)
        self.launch(
            kernel, calls.Elements(x.address, address(y), out.address, x.size, int(function))
        )
        return out
