"""Bytes and residues mod 241: expansion of a key, scaling, and questions."""

import ctypes
import struct

from gpu.cuda.calls import Bytes, Expanded
from gpu.cuda.launches.stage import THREADS, Stage, divided_up
from gpu.ops import calls

_CONSTANTS = b"expand 32-byte k"  # RFC 8439, section 2.3
_KEY_BYTES = 32
_BLOCK_WORDS = 16


def expand(stage: Stage, call: calls.Expansion) -> None:
    """A thread to each block of the stream, also to those that are wanted in part."""
    pointer = ctypes.c_void_p.from_buffer(call, calls.Expansion.key.offset)
    key = ctypes.string_at(pointer, _KEY_BYTES)
    nonce = struct.pack("<4I", 0, call.stream, call.step, 0)
    state = struct.unpack(f"<{_BLOCK_WORDS}I", _CONSTANTS + key + nonce)
    expanded = Expanded(state, call.out, call.first, call.count, call.values, call.lowest)
    blocks = divided_up(call.first + call.count, _BLOCK_WORDS) - call.first // _BLOCK_WORDS
    stage.start("residues", "chacha20_expand", divided_up(blocks, THREADS), THREADS, expanded)


def scale_rows(stage: Stage, call: calls.ResidueRows) -> None:
    """A thread to each residue."""
    blocks = divided_up(call.rows * call.width, THREADS)
    stage.start("residues", "chain241_scale_rows", blocks, THREADS, call)


def is_canonical(stage: Stage, call: calls.ResidueRows) -> int:
    """1 when no byte is over 240, else 0."""
    found = stage.flag()
    bytes_ = Bytes(call.matrix, None, found.address, call.rows, call.width, call.stride, 0)
    blocks = divided_up(call.rows * call.width, THREADS)
    stage.start("residues", "bytes_over_240", blocks, THREADS, bytes_)
    return int(not found.is_set())
