"""What the CPU kernels are measured on, each beside a peer that does the same work.

A case's two sides do one run each when called; who calls them decides how often and in what order.
Peers are numpy, whose products are OpenBLAS's, and torch where it is installed. Kernels bound by
memory stand beside OpenBLAS reading the same bytes once, as a vector's dot product with itself.
"""

import importlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gpu.cpu.backend import CpuBackend
from gpu.cpu.convolution_figures import RESNET50, TWO_THREADS, beside_torch, sides
from gpu.cpu.host import as_tensor
from gpu.ops import Unary
from gpu.tensors import DType

SIZES = (512, 1024, 2048)
DECODE = (4096, 4096)
ROWS = (256, 4096)
RESIDUES = (256, 1024, 2048)
COLUMNS = 16
EPSILON = 1e-5

Run = Callable[[], object]


class Case(NamedTuple):
    """Two runs of the same work, and how much of `unit` times seconds it is."""

    metric: str
    unit: str
    amount: float
    ours: Run
    peer: str = ""
    theirs: Run | None = None


def cases(sizes: tuple[int, ...] = SIZES) -> Iterator[Case]:
    """Every case; the data of one is made when it is asked for."""
    backend = CpuBackend()
    for size in sizes:
        yield _float_product(backend, size)
    for size in sizes:
        yield _integer_product(backend, size)
    yield from _decode(backend)
    yield from _row_operations(backend)
    yield _function(backend)
    for size in RESIDUES:
        yield _residues(backend, size)
    yield _two_threads(sizes[-1])
    yield from _convolutions(backend)


def _float_product(backend: CpuBackend, size: int) -> Case:
    left, right = _normal(size, size), _normal(size, size)
    out = backend.empty(size, size, dtype=DType.F32)
    return Case(
        f"f32 product, n = {size}",
        "GFLOP/s",
        2e-9 * size**3,
        partial(backend.matmul, as_tensor(left), as_tensor(right), out=out),
        "numpy/OpenBLAS",
        partial(np.matmul, left, right),
    )


def _integer_product(backend: CpuBackend, size: int) -> Case:
    random = np.random.default_rng(size)
    left, right = (random.integers(-128, 128, (size, size), dtype=np.int8) for _ in range(2))
    out, torch = backend.empty(size, size, dtype=DType.I32), _torch()
    peer = torch and partial(torch._int_mm, torch.from_numpy(left), torch.from_numpy(right))
    return Case(
        f"i8 product, n = {size}",
        "GOP/s",
        2e-9 * size**3,
        partial(backend.matmul, as_tensor(left), as_tensor(right), out=out),
        "torch._int_mm",
        peer,
    )


def _decode(backend: CpuBackend) -> Iterator[Case]:
    """One row times weights; the weights' bytes count."""
    inner, columns = DECODE
    weights, x = _normal(inner, columns), _normal(1, inner)
    row, out = as_tensor(x), backend.empty(1, columns, dtype=DType.F32)
    for kind in (DType.F32, DType.BF16, DType.I8):
        kept = backend.pack(as_tensor(weights), kind)
        read = weights.ravel()[: inner * columns * kind.item_bytes // 4]
        yield Case(
            f"one row times {inner} x {columns} {kind} weights",
            "GB/s",
            1e-9 * read.nbytes,
            partial(backend.linear, row, kept, out=out),
            "numpy.dot of the bytes with themselves",
            partial(np.dot, read, read),
        )
        if kind is DType.F32:
            yield Case(
                f"one row times {inner} x {columns} f32 weights, again",
                "GB/s",
                1e-9 * weights.nbytes,
                partial(backend.linear, row, kept, out=out),
                "numpy/OpenBLAS",
                partial(np.matmul, x, weights),
            )


def _row_operations(backend: CpuBackend) -> Iterator[Case]:
    x = _normal(*ROWS)
    tensor, out = as_tensor(x), backend.empty(*ROWS, dtype=DType.F32)
    weight = as_tensor(np.ones(ROWS[1], np.float32))
    operations: list[tuple[str, Run, Run]] = [
        ("softmax", partial(backend.softmax, tensor, out=out), partial(_softmax, x)),
        (
            "rmsnorm",
            partial(backend.rmsnorm, tensor, weight, epsilon=EPSILON, out=out),
            partial(_rmsnorm, x),
        ),
        (
            "layernorm",
            partial(backend.layernorm, tensor, weight, weight, epsilon=EPSILON, out=out),
            partial(_layernorm, x),
        ),
    ]
    for name, ours, theirs in operations:
        metric = f"{name} of {ROWS[0]} x {ROWS[1]}"
        yield Case(metric, "GB/s", 2e-9 * x.nbytes, ours, "numpy", theirs)


def _function(backend: CpuBackend) -> Case:
    x = _normal(ROWS[0] * ROWS[1])
    out = backend.empty(x.size, dtype=DType.F32)
    ours = partial(backend.apply, Unary.EXP, as_tensor(x), out=out)
    return Case("exp", "G/s", 1e-9 * x.size, ours, "numpy", partial(np.exp, x))


def _residues(backend: CpuBackend, size: int) -> Case:
    """Beside the whole step: what a check costs of what it checks."""
    random = np.random.default_rng(size)
    matrix = as_tensor(random.integers(0, 241, (size, size), dtype=np.uint8))
    probe = as_tensor(random.integers(0, 241, (size, COLUMNS), dtype=np.uint8))
    image, out = backend.empty(size, COLUMNS), backend.empty(size, size)
    return Case(
        f"residues, {size} x {size} times {COLUMNS} columns, in products of {size} columns",
        "products/s",
        1.0,
        partial(backend.product, matrix, probe, image),
        f"times {size} columns",
        partial(backend.product, matrix, matrix, out),
    )


def _two_threads(size: int) -> Case:
    left, right = as_tensor(_normal(size, size)), as_tensor(_normal(size, size))
    one, two = CpuBackend(), CpuBackend(threads=2)
    return Case(
        f"f32 product, n = {size}, two threads, wall",
        "GFLOP/s",
        2e-9 * size**3,
        partial(two.matmul, left, right, out=two.empty(size, size, dtype=DType.F32)),
        "one thread",
        partial(one.matmul, left, right, out=one.empty(size, size, dtype=DType.F32)),
    )


def _convolutions(backend: CpuBackend) -> Iterator[Case]:
    torch, two = _torch(), CpuBackend(threads=2)
    for layer in RESNET50:
        for side in beside_torch(backend, layer, torch):
            yield Case(*side)
    for one, both in zip(sides(backend, TWO_THREADS), sides(two, TWO_THREADS), strict=True):
        metric = f"{both.metric}, two threads, wall"
        yield Case(metric, both.unit, both.amount, both.ours, "one thread", one.ours)


def _softmax(x: npt.NDArray[np.float32]) -> object:
    powers = np.exp(x - x.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _rmsnorm(x: npt.NDArray[np.float32]) -> object:
    return x / np.sqrt(np.square(x).mean(axis=1, keepdims=True) + EPSILON)


def _layernorm(x: npt.NDArray[np.float32]) -> object:
    centred = x - x.mean(axis=1, keepdims=True)
    return centred / np.sqrt(np.square(centred).mean(axis=1, keepdims=True) + EPSILON)


def _normal(*shape: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(len(shape)).standard_normal(shape, np.float32)


def _torch() -> Any:
    """torch with one thread, or None where it is not installed."""
    try:
        torch = importlib.import_module("torch")
    except ImportError:
        return None
    torch.set_num_threads(1)
    return torch
