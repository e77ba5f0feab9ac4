"""Normalization of each channel over all pixels, and its gradients (order: docs/kernels.md)."""

from gpu.errors import OperandMismatch
from gpu.ops import calls
from gpu.ops.device import (
    Device,
    address,
    require_apart,
    require_shape,
    require_type,
    require_whole,
    result,
)
from gpu.tensors import DType, Tensor


class BatchNormOperations(Device):
    """batchnorm, batchnorm_inference, batchnorm_gradient: the last axis is the channels."""

    def batchnorm(
        self,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        *,
        epsilon: float,
        running: tuple[Tensor, Tensor] | None = None,
        momentum: float = 0.1,
        out: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Each channel normalized over all pixels: the result, means, and 1 / deviations.

        `running` means and (unbiased) variances move towards this batch's by `momentum`, in place.
        One pixel has no variance and is refused.
        """
        name, width = "batchnorm", x.shape[-1]
        if x.size == width:
            raise OperandMismatch(name, "one value per channel has no variance", x=x)
        mean, inverse = (self.empty(width, dtype=DType.F32) for _ in range(2))
        moved = running or (None, None)
        _require_channels(name, width, weight=weight, bias=bias, mean=moved[0], variance=moved[1])
        for tensor in moved:
            if tensor is not None:
                require_apart(name, tensor, x=x, weight=weight, bias=bias)
        out = _like(self, name, x, out)
        call = calls.BatchNorm(
            *(x.address, None, address(weight), address(bias), out.address, mean.address),
            *(inverse.address, address(moved[0]), address(moved[1]), None, None),
            *(x.size // width, width, epsilon, momentum),
        )
        self.launch("batch_norm", call)
        return out, mean, inverse

    def batchnorm_inference(
        self,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        mean: Tensor,
        inverse: Tensor,
        *,
        out: Tensor | None = None,
    ) -> Tensor:
        """Each channel normalized by given means and 1 / deviations."""
        name, width = "batchnorm_inference", x.shape[-1]
        _require_channels(name, width, weight=weight, bias=bias, mean=mean, inverse=inverse)
        out = _like(self, name, x, out)
        call = calls.BatchNorm(
            *(x.address, None, address(weight), address(bias), out.address, mean.address),
            *(inverse.address, None, None, None, None, x.size // width, width, 0.0, 0.0),
        )
        self.launch("batch_norm_inference", call)
        return out

    def batchnorm_gradient(
        self, x: Tensor, gradient: Tensor, weight: Tensor | None, mean: Tensor, inverse: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The gradients of `batchnorm`'s input, weight and bias, from its result's."""
        name, width = "batchnorm_gradient", x.shape[-1]
        _require_channels(name, width, weight=weight, mean=mean, inverse=inverse)
        require_type(name, DType.F32, gradient=gradient)
        require_whole(name, gradient=gradient)
        require_shape(name, "gradient", gradient, *x.shape)
        out = _like(self, name, x, None)
        slope, level = (self.empty(width, dtype=DType.F32) for _ in range(2))
        call = calls.BatchNorm(
            *(x.address, gradient.address, address(weight), None, out.address, mean.address),
            *(inverse.address, None, None, slope.address, level.address),
            *(x.size // width, width, 0.0, 0.0),
        )
        self.launch("batch_norm_gradient", call)
        return out, slope, level


def _require_channels(name: str, width: int, **operands: Tensor | None) -> None:
    require_type(name, DType.F32, **operands)
    for operand, tensor in operands.items():
        require_shape(name, operand, tensor, width)


def _like(device: Device, name: str, x: Tensor, out: Tensor | None) -> Tensor:
    require_type(name, DType.F32, x=x)
    require_whole(name, x=x, out=out)
    return result(device, name, out, DType.F32, x.shape)
