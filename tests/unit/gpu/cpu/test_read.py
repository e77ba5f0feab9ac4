import ctypes
import re

import numpy as np
import pytest

from gpu.cpu.library import LIBRARY
from gpu.ops import calls

PIECE = 1 << 20


def test_the_size_of_a_piece_is_the_kernels():
    header = (LIBRARY.parent / "csrc" / "tmkernels.h").read_text()
    assert 1 << int(re.search(r"TMK_PIECE = 1 << (\d+)", header)[1]) == PIECE


@pytest.mark.parametrize("count", [1, 127, 128, 1000, PIECE - 1, PIECE + 5, 2 * PIECE + 777])
def test_every_word_of_every_piece_is_read(threaded, count):
    words = np.random.default_rng(count).integers(0, 2**32, count, dtype=np.uint32)
    pieces = [words[first : first + PIECE] for first in range(0, count, PIECE)]
    for backend in threaded:
        sums = np.zeros(len(pieces), np.uint32)
        addresses = (array.ctypes.data_as(ctypes.c_void_p) for array in (words, sums))
        backend.launch("read", calls.Reading(*addresses, count))
        assert sums.tolist() == [int(piece.sum(dtype=np.uint32)) for piece in pieces]
