"""What a GPU is measured on, each kernel beside a peer that does the same work there.

What memory bounds stands beside a copy that reads and writes as many bytes. Data are random: zeros
take less power, which makes some devices faster.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

import numpy as np

from gpu.cpu.cases import Case, Run
from gpu.cuda.peers import Made, Peer
from gpu.ops import Distribution, Operations, Unary
from gpu.tensors import DType, Tensor

LEAST_S = 0.02  # of one measurement, so that what it costs to start does not count
_LARGE = 2048  # from here on a product fills a GPU
_KINDS = (DType.F32, DType.BF16, DType.I8)
_EPSILON = 1e-5


class Sizes(NamedTuple):
    """How large the work is: enough to fill the largest device, by default."""

    products: tuple[int, ...] = (1024, 2048, 4096, 8192)
    residues: tuple[int, ...] = (4096, 8192)
    rows: tuple[int, int] = (32_768, 4096)
    weights: tuple[int, int] = (8192, 16_384)  # inner x columns
    many: int = 2048  # rows of a product with weights
    attention: tuple[int, int, int, int] = (2048, 32, 8, 128)  # tokens, heads, cached, of a head
    convolution: tuple[int, int, int] = (32, 56, 128)  # images, pixels of a side, channels


class Figures:
    """Cases of one device. A run of either side ends when its device has done the work."""

    def __init__(self, device: Operations, peer: Peer | None, sizes: Sizes) -> None:
        self._device = device
        self._peer = peer
        self._sizes = sizes
        self._word = device.empty(4)

    def all(self) -> Iterator[Case]:
        """Every case; the data of one is made when it is asked for."""
        for part in PARTS.values():
            yield from part(self)

    def products(self) -> Iterator[Case]:
        """Of square matrices."""
        for n in self._sizes.products:
            yield self._float_product(n)
            yield self._integer_product(n)
        for n in self._sizes.residues:
            yield self._residues(n)

    def memory(self) -> Iterator[Case]:
        """What memory bounds: bytes that have to be read and written."""
        x = self._floats(*self._sizes.rows)
        out = self._empty(DType.F32, *x.shape)
        runs = {
            "exp": partial(self._device.apply, Unary.EXP, x, out=out),
            "softmax": partial(self._device.softmax, x, out=out),
            "rmsnorm": partial(self._device.rmsnorm, x, None, epsilon=_EPSILON, out=out),
            "layernorm": partial(self._device.layernorm, x, None, None, epsilon=_EPSILON, out=out),
        }
        for name, run in runs.items():
            target = None if name == "exp" else 0.8
            metric = f"{name} of {x.shape[0]} x {x.shape[1]}"
            yield self._beside_copy(metric, 2 * x.size * DType.F32.item_bytes, run, target)
        for kind in _KINDS:
            yield self._row_times_weights(kind)
        yield from self._transfers(2 * x.size)

    def layers(self) -> Iterator[Case]:
        """What networks are made of."""
        for kind in _KINDS:
            yield self._rows_times_weights(kind)
        yield self._attention()
        yield self._convolution()

    def _float_product(self, n: int) -> Case:
        x, out = self._floats(n, n), self._empty(DType.F32, n, n)
        run = partial(self._device.matmul, x, x, out=out)
        target = 0.85 if n >= _LARGE else None
        case = Case(f"f32 product, n = {n}", "TFLOP/s", 2e-12 * n**3, run, "cuBLAS", target=target)
        return self._steady(case, lambda peer: peer.product(n, n, n))

    def _integer_product(self, n: int) -> Case:
        x, out = self._bytes(DType.I8, n), self._empty(DType.I32, n, n)
        run = partial(self._device.matmul, x, x, out=out)
        target = 0.5 if n >= _LARGE else None
        case = Case(f"i8 product, n = {n}", "TOP/s", 2e-12 * n**3, run, "cuBLASLt", target=target)
        return self._steady(case, lambda peer: peer.integer_product(n))

    def _residues(self, n: int) -> Case:
        x, out = self._bytes(DType.U8, n), self._empty(DType.U8, n, n)
        run = partial(self._device.product, x, x, out)
        case = Case(f"product mod 241, n = {n}", "TOP/s", 2e-12 * n**3, run, "cuBLASLt, i8")
        return self._steady(case, lambda peer: peer.integer_product(n))

    def _row_times_weights(self, kind: DType) -> Case:
        inner, columns = self._sizes.weights
        metric = f"one row times {inner} x {columns} {kind} weights"
        run = self._times_weights(1, kind)
        return self._beside_copy(metric, inner * columns * kind.item_bytes, run, 0.8)

    def _beside_copy(self, metric: str, size: int, run: Run, target: float | None) -> Case:
        case = Case(metric, "GB/s", 1e-9 * size, run, "a copy", target=target)
        return self._steady(case, lambda peer: peer.copying(size))

    def _transfers(self, size: int) -> Iterator[Case]:
        data = np.random.default_rng(size).bytes(size)
        kept = self._device.upload(data, size)
        for name, run in (
            ("upload", partial(self._device.upload, data, size)),
            ("download", partial(self._device.download, kept)),
        ):
            yield self._steady(Case(f"{name} of {size >> 20} MiB", "GB/s", 1e-9 * size, run))

    def _rows_times_weights(self, kind: DType) -> Case:
        rows, (inner, columns) = self._sizes.many, self._sizes.weights
        metric = f"{rows} rows times {inner} x {columns} {kind} weights"
        run = self._times_weights(rows, kind)
        case = Case(metric, "TFLOP/s", 2e-12 * rows * inner * columns, run, "cuBLAS, f32")
        return self._steady(case, lambda peer: peer.product(rows, inner, columns))

    def _times_weights(self, rows: int, kind: DType) -> Run:
        inner, columns = self._sizes.weights
        weights = self._device.pack(self._floats(inner, columns), kind)
        out = self._empty(DType.F32, rows, columns)
        return partial(self._device.linear, self._floats(rows, inner), weights, out=out)

    def _attention(self) -> Case:
        tokens, heads, cached, size = self._sizes.attention
        keys = self._floats(tokens, cached, size)
        cache = self._device.key_values(1, cached, tokens, size)
        numbers = np.arange(tokens, dtype=np.int32).tobytes()
        positions = self._device.upload(numbers, tokens, dtype=DType.I32)
        self._device.append(cache, keys, keys, positions)
        queries = self._floats(tokens, heads, size)
        out = self._empty(DType.F32, *queries.shape)
        run = partial(self._device.attention, queries, cache, positions, out=out)
        metric = f"causal attention, {tokens} tokens, {heads} heads of {size}, {cached} cached"
        case = Case(metric, "TFLOP/s", 2e-12 * heads * size * tokens**2, run, "torch SDPA, f32")
        return self._steady(case, lambda peer: peer.attention(tokens, heads, cached, size))

    def _convolution(self) -> Case:
        images, pixels, channels = self._sizes.convolution
        x = self._floats(images, pixels, pixels, channels)
        weights = self._floats(3, 3, channels, channels)
        out = self._empty(DType.F32, *x.shape)
        run = partial(self._device.conv2d, x, weights, padding=1, out=out)
        metric = f"3x3 convolution, {images} images of {pixels}, {channels} channels"
        case = Case(metric, "TFLOP/s", 2e-12 * 9 * channels * x.size, run, "cuDNN, f32")
        return self._steady(case, lambda peer: peer.convolution(images, pixels, channels))

    def _steady(self, case: Case, made: Made | None = None) -> Case:
        """The same with runs that do the work again and again, as often on either side."""
        theirs = None
        if made is not None and self._peer is not None:
            theirs = _waiting(made(self._peer), self._peer.wait)
        ours = _waiting(case.ours, self._wait)
        times = max(_times(side) for side in (ours, theirs) if side is not None)
        return case._replace(
            amount=times * case.amount,
            ours=partial(ours, times),
            theirs=theirs and partial(theirs, times),
            wall=True,
        )

    def _wait(self) -> None:
        self._device.download(self._word)

    def _floats(self, *shape: int) -> Tensor:
        return self._device.random(Distribution.NORMAL, *shape, key=(1, 2), stream=len(shape))

    def _bytes(self, dtype: DType, n: int) -> Tensor:
        """Residues, of which I8 makes signed numbers."""
        numbers = np.random.default_rng(n).integers(0, 241, n * n, dtype=np.uint8)
        return self._device.upload(numbers.tobytes(), n, n, dtype=dtype)

    def _empty(self, dtype: DType, *shape: int) -> Tensor:
        return self._device.empty(*shape, dtype=dtype)


PARTS: Mapping[str, Callable[[Figures], Iterator[Case]]] = {
    "products": Figures.products,
    "memory": Figures.memory,
    "layers": Figures.layers,
}


def _waiting(run: Run, wait: Run) -> Callable[[int], None]:
    def repeated(times: int) -> None:
        for _ in range(times):
            run()
        wait()

    return repeated


def _times(side: Callable[[int], None]) -> int:
    """How often makes a measurement, after one run that warms up."""
    side(1)
    began = time.perf_counter()
    side(1)
    return max(1, math.ceil(LEAST_S / (time.perf_counter() - began)))
