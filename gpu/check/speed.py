"""Figures of a device: products, and what memory bounds beside a plain pass over the same memory.

Where torch is installed and sees the GPU, its float32 product (cuBLAS, TF32 off) runs beside ours.
"""

import importlib
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from gpu.ops import Distribution, Operations, Unary
from gpu.tensors import DType, Tensor

_LEAST_S = 0.2
_RUNS = 3
_EPSILON = 1e-5


class Figure(NamedTuple):
    """What was measured: work a second in a unit."""

    name: str
    value: float
    unit: str


def figures(device: Operations, sizes: tuple[int, ...], width: int) -> Iterator[Figure]:
    """Products of square matrices of these sizes, and operations on width x width floats."""
    for size in sizes:
        yield from _products(device, size)
    yield from _memory_bound(device, width)
    yield from _transfers(device, 4 * width**2)


def _products(device: Operations, size: int) -> Iterator[Figure]:
    flops = 2 * size**3
    x, out = _floats(device, size, size), device.empty(size, size, dtype=DType.F32)
    yield _rate(f"matmul f32 {size}", device, out, lambda: device.matmul(x, x, out=out), flops)
    yield from _peer(size, flops)
    data = np.random.default_rng(1).bytes(size**2)
    i8 = device.upload(data, size, size, dtype=DType.I8)
    sums = device.empty(size, size, dtype=DType.I32)
    yield _rate(f"matmul i8 {size}", device, sums, lambda: device.matmul(i8, i8, out=sums), flops)
    residues, product = device.upload(data, size, size), device.empty(size, size)
    chained = partial(device.product, residues, residues, product)
    yield _rate(f"product mod 241 {size}", device, product, chained, flops)
    for kind in (DType.F32, DType.BF16, DType.I8):
        multiply = partial(device.linear, x, device.pack(x, kind), out=out)
        yield _rate(f"linear {kind} {size}", device, out, multiply, flops)


def _memory_bound(device: Operations, width: int) -> Iterator[Figure]:
    x, out = _floats(device, width, width), device.empty(width, width, dtype=DType.F32)
    passes = {
        "magnitude": lambda: device.apply(Unary.MAGNITUDE, x, out=out),
        "exp": lambda: device.apply(Unary.EXP, x, out=out),
        "softmax": lambda: device.softmax(x, out=out),
        "rmsnorm": lambda: device.rmsnorm(x, None, epsilon=_EPSILON, out=out),
        "layernorm": lambda: device.layernorm(x, None, None, epsilon=_EPSILON, out=out),
    }
    for name, run in passes.items():
        yield _rate(f"{name} {width} x {width}", device, out, run, 8 * width**2, "GB/s")
    row, line = _floats(device, 1, width), device.empty(1, width, dtype=DType.F32)
    for kind in (DType.F32, DType.BF16, DType.I8):
        weights = device.pack(x, kind)
        multiply = partial(device.linear, row, weights, out=line)
        name = f"linear {kind}, one row, {width}"
        yield _rate(name, device, line, multiply, weights.data.size, "GB/s")


def _transfers(device: Operations, size: int) -> Iterator[Figure]:
    data = bytes(size)
    kept = device.upload(data, size)
    yield _rate("upload", device, kept, lambda: device.upload(data, size), size, "GB/s")
    yield _rate("download", device, kept, lambda: device.download(kept), size, "GB/s")


def _floats(device: Operations, *shape: int) -> Tensor:
    return device.random(Distribution.NORMAL, *shape, key=(1, 2), stream=3)


def _rate(
    name: str,
    device: Operations,
    written: Tensor,
    run: Callable[[], object],
    work: int,
    unit: str = "TOP/s",
) -> Figure:
    """Best of some rounds; a round ends when a byte of what it wrote has come back."""
    last = written.tile(slice(0, 1), slice(0, 1)) if len(written.shape) == 2 else written

    def timed(times: int) -> float:
        started = time.perf_counter()
        for _ in range(times):
            run()
        if len(written.shape) == 2:
            device.download(last)
        return time.perf_counter() - started

    timed(1)
    once = timed(1)
    times = max(1, int(_LEAST_S / max(once, 1e-6)))
    seconds = min(timed(times) for _ in range(_RUNS)) / times
    return Figure(name, work / seconds / (1e12 if unit == "TOP/s" else 1e9), unit)


def _peer(size: int, flops: int) -> Iterator[Figure]:
    try:
        torch: Any = importlib.import_module("torch")
    except ImportError:
        return
    if not torch.cuda.is_available():
        return
    torch.backends.cuda.matmul.allow_tf32 = False
    x = torch.randn(size, size, device="cuda")

    def timed(times: int) -> float:
        torch.cuda.synchronize()
        started = time.perf_counter()
        for _ in range(times):
            x @ x
        torch.cuda.synchronize()
        return time.perf_counter() - started

    once = timed(2) / 2
    times = max(1, int(_LEAST_S / once))
    seconds = min(timed(times) for _ in range(_RUNS)) / times
    yield Figure(f"cuBLAS f32 {size} (torch)", flops / seconds / 1e12, "TOP/s")
