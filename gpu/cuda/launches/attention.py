"""Attention over a cache of keys and values, and tokens put into it."""

import ctypes

from gpu.cuda.calls import Appending, Attending, Places
from gpu.cuda.launches.stage import THREADS, Stage, divided_up
from gpu.errors import KernelFailed
from gpu.ops import calls

_MANY_LINES, _FEW_LINES = 32, 8  # of a block, csrc/cuda/attention_tile.h
_SLICE = 128  # dimensions of a block
_SUPERBLOCK = 16  # blocks of keys
_MOST_LINES = 64  # up to these for a cached head, superblocks are shared among blocks of threads
_FLOAT_BYTES = ctypes.sizeof(ctypes.c_float)


def append(stage: Stage, call: calls.Append) -> None:
    """Places are looked over first. Raises KernelFailed for one that the cache does not have."""
    cache = call.cache
    places = Places(call.sequences, call.positions, None, None, None, call.tokens, cache)
    _require_places(stage, "append", places)
    appending = Appending(call, stage.scratch(call.tokens))
    stage.start("cache", "replaced_tokens", divided_up(call.tokens, THREADS), THREADS, appending)
    count = call.tokens * cache.heads * cache.size
    stage.start("cache", "append", divided_up(count, THREADS), THREADS, appending)


def attention(stage: Stage, call: calls.Attention) -> None:
    """Tiles of many lines, or of few whose superblocks are made apart: the bits are the same."""
    cache = call.cache
    bounds = (call.sequences, call.positions, call.starts, call.lengths)
    _require_places(stage, "attention", Places(*bounds, None, call.rows, cache))
    lines = call.rows * call.heads // cache.heads
    superblocks = divided_up(cache.blocks, _SUPERBLOCK)
    heads = cache.heads * divided_up(cache.size, _SLICE)
    if lines > _MOST_LINES:
        grid = (divided_up(lines, _MANY_LINES), heads, 1)
        stage.start("attention", "attention_many", grid, THREADS, Attending(call, None))
        return
    tiles = divided_up(lines, _FEW_LINES)
    if superblocks == 1:
        stage.start("attention", "attention_few", (tiles, heads, 1), THREADS, Attending(call, None))
        return
    count = call.rows * call.heads
    parts = stage.scratch(superblocks * count * (cache.size + 2) * _FLOAT_BYTES)
    attending = Attending(call, parts)
    stage.start("attention", "attention_parts", (tiles, heads, superblocks), THREADS, attending)
    blocks = divided_up(count * cache.size, THREADS)
    stage.start("attention", "attention_fold", blocks, THREADS, attending)


def _require_places(stage: Stage, operation: str, places: Places) -> None:
    bad = stage.flag()
    places.found = bad.address
    stage.start("cache", "bad_places", divided_up(places.count, THREADS), THREADS, places)
    if bad.is_set():
        raise KernelFailed(operation, "a token has no place in the cache")
