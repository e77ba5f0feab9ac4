import gc

import numpy as np
import pytest

from gpu.errors import DeviceMemoryExhausted, KernelFailed, OperandMismatch
from gpu.ops import Unary, calls
from gpu.tensors import DType


def test_bytes_survive_upload_and_download(backend):
    data = bytes(range(200))
    tensor = backend.upload(data, 10, 20)
    assert bytes(backend.download(tensor)) == data
    part = backend.tile(tensor, slice(2, 5), slice(3, 7))
    expected = np.frombuffer(data, np.uint8).reshape(10, 20)[2:5, 3:7]
    assert bytes(backend.download(part)) == expected.tobytes()
    wide = backend.tile(
        backend.upload(data[:160], 4, 10, dtype=DType.F32), slice(1, 3), slice(0, 2)
    )
    floats = np.frombuffer(data[:160], np.uint32).reshape(4, 10)[1:3, 0:2]
    assert bytes(backend.download(wide)) == floats.tobytes()


def test_equal_compares_types_shapes_and_bytes(backend):
    x = backend.upload(bytes(range(24)), 4, 6)
    assert backend.equal(x, backend.upload(bytes(range(24)), 4, 6))
    assert not backend.equal(x, x.reshape(6, 4))
    assert not backend.equal(x, backend.upload(bytes(range(24)), 4, 6, dtype=DType.I8))
    assert not backend.equal(x, backend.upload(bytes(23) + b"\1", 4, 6))
    left, right = (x.tile(slice(0, 2), slice(first, first + 2)) for first in (0, 1))
    assert not backend.equal(left, right)
    assert backend.equal(left, left)


def test_uploaded_memory_is_read_only(backend):
    x = backend.upload(bytes(40), 10, dtype=DType.F32)
    with pytest.raises(OperandMismatch, match="exp: the result needs writable memory"):
        backend.apply(Unary.EXP, x, out=x)


@pytest.mark.parametrize("shape", [(), (0,), (3, -1)])
def test_no_tensor_has_no_elements(backend, shape):
    with pytest.raises(OperandMismatch, match="empty: no tensor has the shape"):
        backend.empty(*shape)
    with pytest.raises(OperandMismatch, match="upload: 0 bytes for u8"):
        backend.upload(b"", *shape)


def test_operations_without_a_kernel_are_named(open_device):
    backend = open_device()
    call = calls.Elements()
    with pytest.raises(KernelFailed, match="sorcery: cuda/sm_80 has no kernel for it"):
        backend.launch("sorcery", call)
    with pytest.raises(KernelFailed, match="sorcery_size: cuda/sm_80 has no kernel for it"):
        backend.measure("sorcery_size", call)


def test_more_blocks_than_a_launch_has(backend):
    """Rows of a result go in tiles of 128, and 65,535 of them fit."""
    call = calls.Gemm(left_column=1, right_row=1, rows=128 * 65_535 + 1, inner=1, columns=1)
    with pytest.raises(KernelFailed, match=r"gemm_f32: \(1, 65536, 1\) blocks are more than"):
        backend.launch("gemm_f32", call)


def test_scratch_memory_is_used_again(open_device):
    device = open_device()
    x = device.upload(bytes(64 * 64), 64, 64)
    out = device.empty(64, 64)
    device.product(x, x, out)
    held = dict(device._driver.held)
    for _ in range(3):
        device.product(x, x, out)
        gc.collect()
    assert device._driver.held == held


def test_what_does_not_fit_is_said_so(open_device):
    device = open_device(capacity=1000)
    with pytest.raises(DeviceMemoryExhausted):
        device.empty(1001)
