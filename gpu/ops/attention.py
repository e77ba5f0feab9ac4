"""Attention of queries to cached keys and values.

A result depends on its own query and on the keys it sees, and on nothing else: neither on what is
computed with it, nor on how its keys came into the cache (order: docs/kernels.md).
"""

import math
from typing import NamedTuple

from gpu.errors import OperandMismatch
from gpu.ops import calls
from gpu.ops.device import (
    Device,
    address,
    require_apart,
    require_shape,
    require_type,
    require_whole,
    result,
)
from gpu.tensors import DType, KeyValues, Tensor


class Mask(NamedTuple):
    """Which keys of its sequence a row sees.

    `causal`: none beyond its position. `window`: only so many, up to its position. starts, lengths:
    i32, for each sequence of the cache the first key that is seen, and how many there are.
    """

    causal: bool = True
    window: int | None = None
    starts: Tensor | None = None
    lengths: Tensor | None = None


CAUSAL = Mask()


class AttentionOperations(Device):
    """key_values, append, attention."""

    def key_values(self, sequences: int, heads: int, tokens: int, size: int) -> KeyValues:
        """Room for the keys and values of so many tokens in each sequence, to be appended."""
        blocks = -(-tokens // KeyValues.BLOCK)
        row = -(-size // KeyValues.UNIT) * KeyValues.UNIT
        keys = self.empty(sequences, heads, blocks, size, KeyValues.BLOCK, dtype=DType.F32)
        values = self.empty(sequences, heads, blocks, KeyValues.BLOCK, row, dtype=DType.F32)
        return KeyValues(keys, values, size)

    def append(
        self,
        cache: KeyValues,
        keys: Tensor,
        values: Tensor,
        positions: Tensor,
        *,
        sequences: Tensor | None = None,
    ) -> None:
        """Put keys and values (tokens, heads, size) at the tokens' places in the cache.

        positions, sequences: i32 (tokens); without `sequences` all belong to sequence 0. Raises
        KernelFailed for a place that the cache does not have.
        """
        tokens = keys.shape[0]
        require_type("append", DType.F32, keys=keys, values=values)
        require_type("append", DType.I32, positions=positions, sequences=sequences)
        require_shape("append", "keys", keys, tokens, cache.heads, cache.size)
        require_shape("append", "values", values, *keys.shape)
        require_shape("append", "positions", positions, tokens)
        require_shape("append", "sequences", sequences, tokens)
        require_whole("append", keys=keys, values=values)
        call = calls.Append(
            *(keys.address, values.address, address(sequences), positions.address, tokens),
            _call(cache),
        )
        self.launch("append", call)

    def attention(
        self,
        queries: Tensor,
        cache: KeyValues,
        positions: Tensor | None = None,
        *,
        sequences: Tensor | None = None,
        mask: Mask = CAUSAL,
        scale: float | None = None,
        statistics: Tensor | None = None,
        out: Tensor | None = None,
    ) -> Tensor:
        """softmax(scale · queries · keys) · values over the keys that `mask` lets each row see.

        queries: f32 (rows, heads, size), a multiple of the cache's heads; neighbouring heads share
        a cached one. positions, sequences: i32 (rows); without `sequences` all belong to sequence
        0. What a row sees must have been appended; one that sees nothing is +0. `scale` is
        1 / sqrt(size) if not given. `statistics`, f32 (rows, heads, 2), takes the largest score and
        the sum of the powers. Raises KernelFailed for a place that the cache does not have.
        """
        rows, heads = _rows_and_heads(queries, cache)
        _require_mask(mask, cache, queries, positions)
        require_type("attention", DType.F32, queries=queries, statistics=statistics)
        require_type("attention", DType.I32, positions=positions, sequences=sequences)
        require_shape("attention", "positions", positions, rows)
        require_shape("attention", "sequences", sequences, rows)
        require_shape("attention", "statistics", statistics, rows, heads, 2)
        require_whole("attention", queries=queries, statistics=statistics, out=out)
        out = result(self, "attention", out, DType.F32, queries.shape)
        for written in (out, statistics) if statistics is not None else (out,):
            require_apart("attention", written, queries=queries, keys=cache.keys, v=cache.values)
        call = calls.Attention(
            *(queries.address, out.address, address(statistics)),
            *(address(sequences), address(positions), address(mask.starts), address(mask.lengths)),
            *(rows, heads, mask.window or 0, _call(cache)),
            *(1.0 / math.sqrt(cache.size) if scale is None else scale, int(mask.causal)),
        )
        self.launch("attention", call)
        return out


def _rows_and_heads(queries: Tensor, cache: KeyValues) -> tuple[int, int]:
    """How many there are. Raises OperandMismatch for queries that the cache cannot answer."""
    if len(queries.shape) == 3:
        rows, heads, size = queries.shape
        if heads % cache.heads == 0 and size == cache.size:
            return rows, heads
    problem = "queries are not (rows, a multiple of the cache's heads, its size)"
    raise OperandMismatch("attention", problem, queries=queries, cache=cache)


def _require_mask(mask: Mask, cache: KeyValues, queries: Tensor, positions: Tensor | None) -> None:
    """Raise OperandMismatch unless the mask fits, and says which key is each row's last."""
    require_type("attention", DType.I32, starts=mask.starts, lengths=mask.lengths)
    require_shape("attention", "starts", mask.starts, cache.sequences)
    require_shape("attention", "lengths", mask.lengths, cache.sequences)
    if positions is None and (mask.causal or mask.window is not None):
        raise OperandMismatch("attention", "the mask needs positions", queries=queries)
    if mask.lengths is None and not mask.causal:
        raise OperandMismatch("attention", "the mask needs lengths", queries=queries)
    if mask.window is not None and mask.window < 1:
        raise OperandMismatch("attention", f"no window of {mask.window}", queries=queries)


def _call(cache: KeyValues) -> calls.Cache:
    return calls.Cache(
        *(cache.keys.address, cache.values.address),
        *(cache.sequences, cache.heads, cache.blocks, cache.size),
    )
