"""ChaCha20 (RFC 8439, section 2.3) in NumPy, many blocks at a time, and its map to residues."""

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

_Words = npt.NDArray[np.uint32]
_Apply = Callable[[np.ufunc, _Words, _Words], None]

_CONSTANTS: Final = np.frombuffer(b"expand 32-byte k", np.dtype("<u4"))
_WORDS: Final = 16
_BATCH: Final = 1 << 14  # blocks at a time: enough to hide the calls, few enough for the cache
_ROUNDS: Final = 10  # double rounds


def residues(
    key: bytes, stream: int, step: int, first: int, count: int, *, nonzero: bool
) -> npt.NDArray[np.uint8]:
    """Elements first .. first + count - 1, uniform in 0 .. 240, or in 1 .. 240 with `nonzero`."""
    values, lowest = (240, 1) if nonzero else (241, 0)
    block, skipped = divmod(first, _WORDS)
    blocks = (skipped + count + _WORDS - 1) // _WORDS
    out = np.empty((blocks, _WORDS), np.uint8)
    for start in range(0, blocks, _BATCH):
        part = out[start : start + _BATCH]
        words = _blocks(key, stream, step, block + start, len(part)).astype(np.uint64)
        part[:] = (words * np.uint64(values) >> np.uint64(32)).T
        part += np.uint8(lowest)
    return out.reshape(-1)[skipped : skipped + count]


def _blocks(key: bytes, stream: int, step: int, first: int, count: int) -> _Words:
    """Row w: word w of blocks first .. first + count - 1."""
    start = np.empty((_WORDS, count), np.uint32)
    start[:4] = _CONSTANTS[:, None]
    start[4:12] = np.frombuffer(key, np.dtype("<u4"))[:, None]
    start[12] = np.arange(first, first + count, dtype=np.uint32)
    start[13:] = np.array([[stream], [step], [0]], np.uint32)
    state = start.copy()
    a, b, c, d = state.reshape(4, 4, count)
    spare = np.empty_like(a)
    for _ in range(_ROUNDS):
        _quarter_rounds(a, b, c, d, spare, _same_rows)
        _quarter_rounds(a, b, c, d, spare, _next_rows)  # the diagonals
    state += start
    return state


def _quarter_rounds(
    a: _Words, b: _Words, c: _Words, d: _Words, spare: _Words, apply: _Apply
) -> None:
    """Four of them, one a row; which rows belong together is up to `apply`."""
    for add, to, mix, bits in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
        apply(np.add, add, to)
        apply(np.bitwise_xor, mix, add)
        np.right_shift(mix, 32 - bits, out=spare)
        np.left_shift(mix, bits, out=mix)
        np.bitwise_or(mix, spare, out=mix)


def _same_rows(operation: np.ufunc, words: _Words, other: _Words) -> None:
    """Row j takes row j of the other."""
    operation(words, other, out=words)


def _next_rows(operation: np.ufunc, words: _Words, other: _Words) -> None:
    """Row j takes row j + 1 mod 4 of the other."""
    operation(words[:3], other[1:], out=words[:3])
    operation(words[3], other[0], out=words[3])
