"""Convolutions of images and their gradients, in the order C256 (docs/kernels.md).

Images are (batch, height, width, channels); weights are (kernel height, kernel width, channels /
groups, filters). Strides, paddings and dilations are a number for both axes, or (of the height, of
the width). Padding is not multiplied: what meets only padding has no part in a sum.
"""

from typing import NamedTuple

from gpu.errors import OperandMismatch
from gpu.ops import calls
from gpu.ops.device import Device, require_apart, require_shape, require_type, require_whole, result
from gpu.tensors import DType, Tensor

Pair = int | tuple[int, int]
_MOST_KERNEL = 64


class Steps(NamedTuple):
    """How the kernel moves over an image, each (of the height, of the width)."""

    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]


class ConvolutionOperations(Device):
    """conv2d, conv2d_input, conv2d_weights."""

    def conv2d(
        self,
        x: Tensor,
        weights: Tensor,
        *,
        stride: Pair = 1,
        padding: Pair = 0,
        dilation: Pair = 1,
        groups: int = 1,
        out: Tensor | None = None,
    ) -> Tensor:
        """The convolution of images with weights; `out` overlaps no operand."""
        steps = _steps(stride, padding, dilation)
        call, shape = _layer("conv2d", x.shape, weights.shape, steps, groups)
        require_type("conv2d", DType.F32, x=x, weights=weights)
        require_whole("conv2d", x=x, weights=weights, out=out)
        out = result(self, "conv2d", out, DType.F32, shape)
        require_apart("conv2d", out, x=x, weights=weights)
        call.image, call.weights, call.result = x.address, weights.address, out.address
        self.launch("conv2d", call)
        return out

    def conv2d_input(
        self,
        gradient: Tensor,
        weights: Tensor,
        size: tuple[int, int],
        *,
        stride: Pair = 1,
        padding: Pair = 0,
        dilation: Pair = 1,
        groups: int = 1,
        out: Tensor | None = None,
    ) -> Tensor:
        """The gradient of `conv2d`'s images, of height and width `size`, from its result's."""
        name, steps = "conv2d_input", _steps(stride, padding, dilation)
        channels = weights.shape[2] * groups if len(weights.shape) == 4 else 1
        image = (gradient.shape[0], *size, channels)
        call, shape = _layer(name, image, weights.shape, steps, groups)
        require_type(name, DType.F32, gradient=gradient, weights=weights)
        require_whole(name, gradient=gradient, weights=weights, out=out)
        require_shape(name, "gradient", gradient, *shape)
        out = result(self, name, out, DType.F32, image)
        require_apart(name, out, gradient=gradient, weights=weights)
        call.image, call.weights, call.result = out.address, weights.address, gradient.address
        self.launch(name, call)
        return out

    def conv2d_weights(
        self,
        x: Tensor,
        gradient: Tensor,
        kernel: tuple[int, int],
        *,
        stride: Pair = 1,
        padding: Pair = 0,
        dilation: Pair = 1,
        groups: int = 1,
        out: Tensor | None = None,
    ) -> Tensor:
        """The gradient of `conv2d`'s weights, of height and width `kernel`, from its result's."""
        name, steps = "conv2d_weights", _steps(stride, padding, dilation)
        inputs = max(x.shape[-1] // max(groups, 1), 1)
        weights = (*kernel, inputs, gradient.shape[-1])
        call, shape = _layer(name, x.shape, weights, steps, groups)
        require_type(name, DType.F32, x=x, gradient=gradient)
        require_whole(name, x=x, gradient=gradient, out=out)
        require_shape(name, "gradient", gradient, *shape)
        out = result(self, name, out, DType.F32, weights)
        require_apart(name, out, x=x, gradient=gradient)
        call.image, call.weights, call.result = x.address, out.address, gradient.address
        self.launch(name, call)
        return out


def result_size(size: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> int:
    """How many places a kernel has along an axis; 0 or less where it does not fit."""
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def pair(value: Pair) -> tuple[int, int]:
    """A number for both axes as two."""
    return value if isinstance(value, tuple) else (value, value)


def _steps(stride: Pair, padding: Pair, dilation: Pair) -> Steps:
    return Steps(pair(stride), pair(padding), pair(dilation))


def _layer(
    name: str, image: tuple[int, ...], weights: tuple[int, ...], steps: Steps, groups: int
) -> tuple[calls.Convolution, tuple[int, ...]]:
    """The call without its addresses, and the result's shape. Raises OperandMismatch."""
    problem = _problem(image, weights, steps, groups)
    if problem:
        raise OperandMismatch(name, problem, image=list(image), weights=list(weights))
    batch, *size, channels = image
    *kernel, _, filters = weights
    shape = [
        result_size(size[axis], kernel[axis], *(step[axis] for step in steps)) for axis in (0, 1)
    ]
    if min(shape) < 1:
        raise OperandMismatch(
            name, "the kernel does not fit", image=list(image), weights=list(weights)
        )
    pairs = (calls.Pair(*values) for values in (kernel, *steps))
    call = calls.Convolution(None, None, None, batch, *size, channels, filters, groups, *pairs)
    return call, (batch, *shape, filters)


def _problem(
    image: tuple[int, ...], weights: tuple[int, ...], steps: Steps, groups: int
) -> str | None:
    if len(image) != 4 or len(weights) != 4 or min(image) < 1 or min(weights) < 1:
        return "no images and weights of four sizes"
    if max(weights[:2]) > _MOST_KERNEL:
        return f"a kernel has at most {_MOST_KERNEL} x {_MOST_KERNEL} taps"
    if min(*steps.stride, *steps.dilation) < 1 or min(steps.padding) < 0:
        return f"no steps of {steps}"
    if groups < 1 or image[3] != weights[2] * groups or weights[3] % groups:
        return f"channels and filters do not fall into {groups} groups"
    return None
