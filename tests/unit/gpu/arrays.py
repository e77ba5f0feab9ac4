"""numpy arrays in and out of a backend, and the special values every kernel has to meet."""

import numpy as np

from gpu.tensors import DType

TYPES = {
    "float32": DType.F32,
    "float16": DType.F16,
    "int8": DType.I8,
    "int32": DType.I32,
    "uint8": DType.U8,
    "uint32": DType.U32,
}
NUMPY = {dtype: np.dtype(name) for name, dtype in TYPES.items()} | {DType.BF16: np.dtype("uint16")}

SPECIAL = np.array(
    [
        *(0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, -np.nan, 1e-45, -1e-45, 1e-39, -3e-39),
        *(1.17549435e-38, 3.4028235e38, -3.4028235e38, 0.5, 2.0, 88.7, -103.9, -104.1, 0.3, 1e-20),
    ],
    np.float32,
)


def put(backend, array, dtype=None):
    array = np.ascontiguousarray(array)
    dtype = dtype or TYPES[array.dtype.name]
    return backend.upload(array.tobytes(), *array.shape, dtype=dtype)


def get(backend, tensor):
    data = bytes(backend.download(tensor))
    return np.frombuffer(data, NUMPY[tensor.dtype]).reshape(tensor.shape)


def same_bits(left, right):
    return left.shape == right.shape and left.tobytes() == right.tobytes()


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def any_floats(seed, *shape):
    """Every bit pattern is as likely as any other; NaNs, infinities and denormals among them."""
    words = np.random.default_rng(seed).integers(0, 2**32, shape, dtype=np.uint32)
    return words.view(np.float32)
