"""Matrices of the host's memory as tensors: numpy's own arrays, shared and not copied."""

from typing import Any

import numpy as np
import numpy.typing as npt

from gpu.errors import OperandMismatch
from gpu.tensors import DType, Tensor

_DTYPES = {
    np.dtype(np.float32): DType.F32,
    np.dtype(np.float16): DType.F16,
    np.dtype(np.int8): DType.I8,
    np.dtype(np.int32): DType.I32,
    np.dtype(np.uint8): DType.U8,
    np.dtype(np.uint32): DType.U32,
}


def as_tensor(array: npt.NDArray[Any]) -> Tensor:
    """An array as a tensor in the same memory, which it keeps alive.

    Raises OperandMismatch for other types, and for gaps but between the rows of a matrix.
    """
    dtype = _DTYPES.get(array.dtype)
    if dtype is None or array.size == 0 or not array.shape:
        raise OperandMismatch("as_tensor", f"no tensor of {array.dtype}{list(array.shape)}")
    flat = array.ndim == 2 and (array.shape[1] == 1 or array.strides[1] == array.itemsize)
    if not (array.flags.c_contiguous or (flat and array.strides[0] > 0)):
        raise OperandMismatch("as_tensor", f"{dtype}{list(array.shape)} has gaps within its rows")
    stride = array.strides[0] // array.itemsize if flat and array.shape[0] > 1 else None
    address = int(array.__array_interface__["data"][0])
    return Tensor(dtype, array.shape, address, array, stride=stride, writable=array.flags.writeable)
