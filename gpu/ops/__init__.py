"""The operations of a device, as a small tensor library: the same calls on every device.

Each operation checks its operands, makes the result, and launches one kernel. A device has only to
offer memory and `launch` (see `Device`); what each kernel computes, and in which order, is in
docs/kernels.md and csrc/reference.
"""

from gpu.ops.attention import AttentionOperations, Mask
from gpu.ops.attention_gradient import AttentionGradientOperations
from gpu.ops.batch_norm import BatchNormOperations
from gpu.ops.convolution import ConvolutionOperations
from gpu.ops.device import Device
from gpu.ops.elementwise import Binary, Distribution, ElementwiseOperations, Unary
from gpu.ops.gradients import GradientOperations
from gpu.ops.linear import LinearOperations
from gpu.ops.optimizers import OptimizerOperations
from gpu.ops.pooling import PoolingOperations
from gpu.ops.residues import ResidueOperations
from gpu.ops.rows import RowOperations
from gpu.ops.tokens import TokenOperations


class Operations(
    ResidueOperations,
    LinearOperations,
    GradientOperations,
    ElementwiseOperations,
    RowOperations,
    TokenOperations,
    AttentionOperations,
    ConvolutionOperations,
    PoolingOperations,
    BatchNormOperations,
    OptimizerOperations,
    AttentionGradientOperations,
):
    """Everything a device can compute."""


__all__ = ["Binary", "Device", "Distribution", "Mask", "Operations", "Unary"]
