"""Pooling over windows of images (batch, height, width, channels), and its gradients.

Sizes and strides are a number for both axes, or (of the height, of the width); the stride is the
window's size where none is given. Padding is smaller than the window.
"""

from gpu.errors import OperandMismatch
from gpu.ops import calls
from gpu.ops.convolution import Pair, pair, result_size
from gpu.ops.device import Device, address, require_shape, require_type, require_whole
from gpu.tensors import DType, Tensor


class PoolingOperations(Device):
    """max_pool, max_pool_input, average_pool, average_pool_input."""

    def max_pool(
        self, x: Tensor, window: Pair, *, stride: Pair | None = None, padding: Pair = 0
    ) -> tuple[Tensor, Tensor]:
        """The largest of each window, and which of its pixels that is (i32, row-major).

        The order is total: -infinity < … < -0 < +0 < … < infinity < NaN; the first of equal ones.
        """
        call, shape = _pooling("max_pool", x.shape, window, stride, padding)
        out = self.empty(*shape, dtype=DType.F32)
        taps = self.empty(*shape, dtype=DType.I32)
        self._launch_pooling("max_pool", call, x, out, taps)
        return out, taps

    def max_pool_input(
        self,
        gradient: Tensor,
        taps: Tensor,
        size: tuple[int, int],
        window: Pair,
        *,
        stride: Pair | None = None,
        padding: Pair = 0,
    ) -> Tensor:
        """The gradient of `max_pool`'s images, of height and width `size`."""
        return self._gradient("max_pool_input", gradient, taps, size, window, stride, padding)

    def average_pool(
        self, x: Tensor, window: Pair, *, stride: Pair | None = None, padding: Pair = 0
    ) -> Tensor:
        """The sum of each window divided by its size, pixels of padding counted."""
        call, shape = _pooling("average_pool", x.shape, window, stride, padding)
        out = self.empty(*shape, dtype=DType.F32)
        self._launch_pooling("average_pool", call, x, out, None)
        return out

    def average_pool_input(
        self,
        gradient: Tensor,
        size: tuple[int, int],
        window: Pair,
        *,
        stride: Pair | None = None,
        padding: Pair = 0,
    ) -> Tensor:
        """The gradient of `average_pool`'s images, of height and width `size`."""
        return self._gradient("average_pool_input", gradient, None, size, window, stride, padding)

    def _gradient(
        self,
        name: str,
        gradient: Tensor,
        taps: Tensor | None,
        size: tuple[int, int],
        window: Pair,
        stride: Pair | None,
        padding: Pair,
    ) -> Tensor:
        image = (gradient.shape[0], *size, gradient.shape[-1])
        call, shape = _pooling(name, image, window, stride, padding)
        require_shape(name, "gradient", gradient, *shape)
        require_shape(name, "taps", taps, *shape)
        out = self.empty(*image, dtype=DType.F32)
        self._launch_pooling(name, call, out, gradient, taps)
        return out

    def _launch_pooling(
        self, name: str, call: calls.Pooling, image: Tensor, pooled: Tensor, taps: Tensor | None
    ) -> None:
        require_type(name, DType.F32, image=image, result=pooled)
        require_type(name, DType.I32, taps=taps)
        require_whole(name, image=image, result=pooled, taps=taps)
        call.image, call.result, call.taps = image.address, pooled.address, address(taps)
        self.launch(name, call)


def _pooling(
    name: str, image: tuple[int, ...], window: Pair, stride: Pair | None, padding: Pair
) -> tuple[calls.Pooling, tuple[int, ...]]:
    """The call without its addresses, and the result's shape. Raises OperandMismatch."""
    sizes, pads = pair(window), pair(padding)
    steps = sizes if stride is None else pair(stride)
    if len(image) != 4:
        raise OperandMismatch(name, "no images of four sizes", image=list(image))
    if min(*sizes, *steps) < 1 or any(not 0 <= p < w for p, w in zip(pads, sizes, strict=True)):
        problem = f"no windows of {sizes} with stride {steps} and padding {pads}"
        raise OperandMismatch(name, problem, image=list(image))
    batch, *size, channels = image
    shape = [result_size(*axis) for axis in zip(size, sizes, steps, pads, strict=True)]
    if min(shape) < 1:
        raise OperandMismatch(name, "the window does not fit", image=list(image))
    pairs = (calls.Pair(*values) for values in (sizes, steps, pads))
    call = calls.Pooling(None, None, None, batch, *size, channels, *pairs)
    return call, (batch, *shape, channels)
