"""What operations ask of a device, and the checks they share."""

import ctypes
from abc import ABC, abstractmethod

from gpu.errors import OperandMismatch
from gpu.tensors import DType, Tensor


class Device(ABC):
    """Memory and kernels: what the operations of this package are built on, on every device."""

    name: str

    @abstractmethod
    def empty(self, *shape: int, dtype: DType = DType.U8) -> Tensor:
        """A new tensor of unspecified content."""

    @abstractmethod
    def upload(
        self, data: bytes | bytearray | memoryview, *shape: int, dtype: DType = DType.U8
    ) -> Tensor:
        """A tensor of these bytes, to be read only. Raises OperandMismatch."""

    @abstractmethod
    def download(self, tensor: Tensor) -> memoryview:
        """The elements as bytes, row-major."""

    @abstractmethod
    def equal(self, left: Tensor, right: Tensor) -> bool:
        """Whether types, shapes and bytes are the same."""

    @abstractmethod
    def launch(self, operation: str, call: ctypes.Structure) -> None:
        """Run a kernel by its name in csrc/tmkernels.h. Raises KernelFailed."""

    @abstractmethod
    def measure(self, question: str, call: ctypes.Structure) -> int:
        """What a kernel says about a call, such as the size of packed weights."""


def result(
    device: Device, operation: str, out: Tensor | None, dtype: DType, shape: tuple[int, ...]
) -> Tensor:
    """`out` if it fits, a new tensor where there is none. Raises OperandMismatch."""
    if out is None:
        return device.empty(*shape, dtype=dtype)
    if out.dtype is not dtype or out.shape != shape:
        raise OperandMismatch(operation, f"the result is {dtype}{list(shape)}", out=out)
    if not out.writable:
        raise OperandMismatch(operation, "the result needs writable memory", out=out)
    return out


def require_type(operation: str, *dtypes: DType, **operands: Tensor | None) -> None:
    """Raise OperandMismatch unless every operand has one of the types; None is absent."""
    for tensor in operands.values():
        if tensor is not None and tensor.dtype not in dtypes:
            wanted = " or ".join(map(str, dtypes))
            raise OperandMismatch(operation, f"operands are {wanted}", **there(operands))


def require_whole(operation: str, **operands: Tensor | None) -> None:
    """Raise OperandMismatch unless no operand has gaps; None is absent."""
    for tensor in operands.values():
        if tensor is not None and not tensor.whole:
            raise OperandMismatch(operation, "operands have no gaps", **there(operands))


def require_shape(operation: str, name: str, tensor: Tensor | None, *shape: int) -> None:
    """Raise OperandMismatch unless the operand has the shape; None is absent."""
    if tensor is not None and tensor.shape != shape:
        raise OperandMismatch(operation, f"{name} is not {list(shape)}", **{name: tensor})


def require_apart(operation: str, out: Tensor, **operands: Tensor | None) -> None:
    """Raise OperandMismatch when the result shares memory with an operand, or cannot be written."""
    for tensor in operands.values():
        if tensor is not None and out.overlaps(tensor):
            raise OperandMismatch(
                operation, "the result needs memory of its own", out=out, **there(operands)
            )
    if not out.writable:
        raise OperandMismatch(operation, "the result needs writable memory of its own", out=out)


def there(operands: dict[str, Tensor | None]) -> dict[str, Tensor]:
    """The operands that are there."""
    return {name: tensor for name, tensor in operands.items() if tensor is not None}


def address(tensor: Tensor | None) -> int | None:
    """Where an operand lies; None is absent."""
    return None if tensor is None else tensor.address
