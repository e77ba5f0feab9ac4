"""What the CPU kernels are measured on, each beside a peer that does the same work.

A case's two sides do one run each when called; who calls them decides how often and in what order.
Peers are numpy, whose products are OpenBLAS's, and torch where it is installed.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np
import numpy.typing as npt

from gpu.cpu import inference_figures
from gpu.cpu.backend import CpuBackend
from gpu.cpu.cases import Case, Run, normal, torch
from gpu.cpu.convolution_figures import RESNET50, TWO_THREADS, beside_torch, sides
from gpu.cpu.host import as_tensor
from gpu.ops import Unary
from gpu.tensors import DType

SIZES = (512, 1024, 2048)
ROWS = (256, 4096)
RESIDUES = (256, 1024, 2048)
COLUMNS = 16
EPSILON = 1e-5


def cases(sizes: tuple[int, ...] = SIZES) -> Iterator[Case]:
    """Every case; the data of one is made when it is asked for."""
    backend = CpuBackend()
    for size in sizes:
        yield _float_product(backend, size)
    for size in sizes:
        yield _integer_product(backend, size)
    yield from inference_figures.cases(backend)
    yield from _row_operations(backend)
    yield _function(backend)
    for size in RESIDUES:
        yield _residues(backend, size)
    yield from inference_figures.two_threads(sizes[-1])
    yield from _convolutions(backend)


def _float_product(backend: CpuBackend, size: int) -> Case:
    left, right = normal(size, size), normal(size, size)
    out = backend.empty(size, size, dtype=DType.F32)
    return Case(
        f"f32 product, n = {size}",
        "GFLOP/s",
        2e-9 * size**3,
        partial(backend.matmul, as_tensor(left), as_tensor(right), out=out),
        "numpy/OpenBLAS",
        partial(np.matmul, left, right),
        target=0.95,
    )


def _integer_product(backend: CpuBackend, size: int) -> Case:
    random = np.random.default_rng(size)
    left, right = (random.integers(-128, 128, (size, size), dtype=np.int8) for _ in range(2))
    out, peer = backend.empty(size, size, dtype=DType.I32), torch()
    theirs = peer and partial(peer._int_mm, peer.from_numpy(left), peer.from_numpy(right))
    return Case(
        f"i8 product, n = {size}",
        "GOP/s",
        2e-9 * size**3,
        partial(backend.matmul, as_tensor(left), as_tensor(right), out=out),
        "torch._int_mm",
        theirs,
        target=0.85,
    )


def _row_operations(backend: CpuBackend) -> Iterator[Case]:
    x = normal(*ROWS)
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
    x = normal(ROWS[0] * ROWS[1])
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


def _convolutions(backend: CpuBackend) -> Iterator[Case]:
    two, found = CpuBackend(threads=2), torch()
    for layer in RESNET50:
        for side, target in zip(beside_torch(backend, layer, found), (0.9, 0.95), strict=True):
            yield side._replace(target=target)
    for one, both in zip(sides(backend, TWO_THREADS), sides(two, TWO_THREADS), strict=True):
        yield both._replace(
            metric=f"{both.metric}, two threads, wall",
            peer="one thread",
            theirs=one.ours,
            target=1.85,
            wall=True,
        )


def _softmax(x: npt.NDArray[np.float32]) -> object:
    powers = np.exp(x - x.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _rmsnorm(x: npt.NDArray[np.float32]) -> object:
    return x / np.sqrt(np.square(x).mean(axis=1, keepdims=True) + EPSILON)


def _layernorm(x: npt.NDArray[np.float32]) -> object:
    centred = x - x.mean(axis=1, keepdims=True)
    return centred / np.sqrt(np.square(centred).mean(axis=1, keepdims=True) + EPSILON)
