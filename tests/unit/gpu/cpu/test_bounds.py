"""Products of operands that end where memory ends: one byte read too many ends the process."""

import subprocess
import sys

from gpu.cpu.library import LIBRARY

SHAPES = [(16, 257, 33), (5, 63, 130), (16, 65, 65), (33, 65, 16), (7, 31, 16), (20, 33, 40)]
"""Left rows, inner, columns: wide, narrow, and neither."""

PROGRAM = """
import ctypes, mmap, sys
import numpy as np
from gpu.cpu import CpuBackend

libc = ctypes.CDLL(None, use_errno=True)

def at_the_end(count):
    size = -(-count // mmap.PAGESIZE) * mmap.PAGESIZE
    pages = mmap.mmap(-1, size + mmap.PAGESIZE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(pages))
    forbidden = ctypes.c_void_p(address + size)
    assert libc.mprotect(forbidden, ctypes.c_size_t(mmap.PAGESIZE), 0) == 0
    return np.frombuffer(pages, np.uint8, count, size - count)

backend = CpuBackend(sys.argv[1])
random = np.random.default_rng(1)
for rows, inner, columns in SHAPES:
    left, right = at_the_end(rows * inner), at_the_end(inner * columns)
    for operand in (left, right):
        operand[:] = random.integers(0, 241, operand.size, dtype=np.uint8)
    left, right = left.reshape(rows, inner), right.reshape(inner, columns)
    out = np.empty((rows, columns), np.uint8)
    backend.product(left, right, out)
    assert np.array_equal(out, left.astype(np.int64) @ right % 241)
"""


def test_nothing_is_read_beyond_an_operand(backend):
    isa = backend.name.partition("/")[2]
    program = f"SHAPES = {SHAPES!r}\n{PROGRAM}"
    command = [sys.executable, "-c", program, isa]
    done = subprocess.run(
        command, cwd=LIBRARY.parent.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
