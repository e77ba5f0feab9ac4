"""What inference is made of: rows times weights, attention, and both on two threads.

Weights and cached keys are read once per row, so these kernels stand beside a plain reading of the
same number of bytes, by the kernel `read`. Attention stands beside torch's.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np

from gpu.cpu.backend import CpuBackend
from gpu.cpu.cases import Case, Run, normal, torch
from gpu.cpu.host import as_tensor
from gpu.ops import calls
from gpu.tensors import DType, KeyValues, PackedWeights, Tensor

# inner x columns of 64 MiB each, more than caches hold.
WEIGHTS = {DType.F32: (4096, 4096), DType.BF16: (4096, 8192), DType.I8: (8192, 8192)}
TARGETS = {DType.F32: 0.93, DType.BF16: 0.88, DType.I8: 0.82}
TOKENS = (512, 2048)
HEADS, CACHED_HEADS, SIZE = 12, 4, 64
TWO_THREADS = 1.85
PIECE = 1 << 20  # words that `read` sums up at a time


def cases(backend: CpuBackend) -> Iterator[Case]:
    """On one thread."""
    for kind in WEIGHTS:
        yield from _row_times_weights(backend, kind)
    for tokens in TOKENS:
        yield _prefill(backend, tokens)
    yield _decode(backend, TOKENS[-1])


def two_threads(size: int) -> Iterator[Case]:
    """The large kernels on two threads, beside themselves on one; `size` is of products."""
    one, two = CpuBackend(), CpuBackend(threads=2)
    left, right = as_tensor(normal(size, size)), as_tensor(normal(size, size))
    ours, theirs = (
        partial(each.matmul, left, right, out=each.empty(size, size, dtype=DType.F32))
        for each in (two, one)
    )
    yield _scaling(f"f32 product, n = {size}", "GFLOP/s", 2e-9 * size**3, ours, theirs)
    for kind in WEIGHTS:
        row, weights, read = _weights(one, kind)
        out = one.empty(1, weights.columns, dtype=DType.F32)
        ours, theirs = (partial(each.linear, row, weights, out=out) for each in (two, one))
        yield _scaling(_row_metric(weights), "GB/s", 1e-9 * read, ours, theirs)
    for tokens in TOKENS:
        both = (_prefilling(each, tokens) for each in (two, one))
        yield _scaling(_prefill_metric(tokens), "GFLOP/s", _operations(tokens), *both)


def _scaling(metric: str, unit: str, amount: float, ours: Run, theirs: Run) -> Case:
    name = f"{metric}, two threads, wall"
    return Case(name, unit, amount, ours, "one thread", theirs, target=TWO_THREADS, wall=True)


def _row_times_weights(backend: CpuBackend, kind: DType) -> Iterator[Case]:
    row, weights, read = _weights(backend, kind)
    out = backend.empty(1, weights.columns, dtype=DType.F32)
    ours = partial(backend.linear, row, weights, out=out)
    peer, theirs = "reading as many bytes", _reading(backend, weights.data, read)
    metric, target = _row_metric(weights), TARGETS[kind]
    yield Case(metric, "GB/s", 1e-9 * read, ours, peer, theirs, target=target)
    if kind is DType.F32:
        x, plain = normal(1, weights.inner), normal(weights.inner, weights.columns)
        theirs = partial(np.matmul, x, plain)
        yield Case(f"{metric}, again", "GB/s", 1e-9 * read, ours, "numpy/OpenBLAS", theirs)


def _weights(backend: CpuBackend, kind: DType) -> tuple[Tensor, PackedWeights, int]:
    """A row, weights, and how many bytes they are without scales."""
    inner, columns = WEIGHTS[kind]
    weights = backend.pack(as_tensor(normal(inner, columns)), kind)
    return as_tensor(normal(1, inner)), weights, inner * columns * kind.item_bytes


def _row_metric(weights: PackedWeights) -> str:
    return f"one row times {weights.inner} x {weights.columns} {weights.kind} weights"


def _reading(backend: CpuBackend, data: Tensor, size: int) -> Run:
    """A run that keeps the memory it reads and writes."""
    words = size // 4
    sums = backend.empty(-(-words // PIECE), dtype=DType.U32)

    def read(data: Tensor, sums: Tensor) -> None:
        backend.launch("read", calls.Reading(data.address, sums.address, words))

    return partial(read, data, sums)


def _problem(backend: CpuBackend, tokens: int) -> tuple[Tensor, KeyValues, Tensor]:
    """Queries of a sequence, its keys and values, its positions."""
    queries = as_tensor(normal(tokens, HEADS, SIZE))
    keys = as_tensor(normal(tokens, CACHED_HEADS, SIZE))
    positions = as_tensor(np.arange(tokens, dtype=np.int32))
    cache = backend.key_values(1, CACHED_HEADS, tokens, SIZE)
    backend.append(cache, keys, keys, positions)
    return queries, cache, positions


def _prefill_metric(tokens: int) -> str:
    return f"causal attention, {tokens} tokens, {HEADS} heads of {SIZE}, {CACHED_HEADS} cached"


def _operations(tokens: int) -> float:
    """Those that the mask leaves, in 1e9."""
    return 2e-9 * HEADS * SIZE * tokens * (tokens + 1)


def _prefilling(backend: CpuBackend, tokens: int) -> Run:
    queries, cache, positions = _problem(backend, tokens)
    out = backend.empty(*queries.shape, dtype=DType.F32)
    return partial(backend.attention, queries, cache, positions, out=out)


def _prefill(backend: CpuBackend, tokens: int) -> Case:
    return Case(
        _prefill_metric(tokens),
        "GFLOP/s",
        _operations(tokens),
        _prefilling(backend, tokens),
        "torch SDPA, heads copied",
        _torch_attention(tokens, tokens),
        target=2.0,
    )


def _decode(backend: CpuBackend, tokens: int) -> Case:
    queries, cache, _ = _problem(backend, tokens)
    last = queries.reshape(tokens, HEADS * SIZE).tile(slice(tokens - 1, tokens), slice(None))
    positions = as_tensor(np.array([tokens - 1], np.int32))
    out = backend.empty(1, HEADS, SIZE, dtype=DType.F32)
    return Case(
        f"attention of one token to {tokens} keys, {HEADS} heads of {SIZE}, {CACHED_HEADS} cached",
        "GB/s",
        1e-9 * 2 * cache.keys.size * DType.F32.item_bytes,
        partial(backend.attention, last.reshape(1, HEADS, SIZE), cache, positions, out=out),
        "torch SDPA, heads copied",
        _torch_attention(tokens, 1),
    )


def _torch_attention(tokens: int, rows: int) -> Run | None:
    """The last rows of the same, where there is torch."""
    peer = torch()
    if peer is None:
        return None
    queries, keys = normal(tokens, HEADS, SIZE), normal(tokens, CACHED_HEADS, SIZE)
    copied = np.repeat(keys, HEADS // CACHED_HEADS, axis=1)
    q, k = (
        peer.from_numpy(np.ascontiguousarray(array.swapaxes(0, 1)[None]))
        for array in (queries[-rows:], copied)
    )
    attention = peer.nn.functional.scaled_dot_product_attention
    return partial(attention, q, k, k, is_causal=rows > 1)
