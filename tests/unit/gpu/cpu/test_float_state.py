"""Results do not depend on the floating-point state that other libraries leave behind."""

import ctypes
import os
import shlex
import subprocess

import numpy as np
import pytest

from gpu.cpu import CpuBackend
from gpu.cpu.library import supported_isas
from gpu.ops import Binary

SOURCE = """
#include <immintrin.h>
extern "C" unsigned exchange(unsigned state) {
  const unsigned before = _mm_getcsr();
  _mm_setcsr(state);
  return before;
}
"""
FLUSH_AND_ROUND_UP = 0x1F80 | 0x8000 | 0x0040 | 0x4000


@pytest.fixture(scope="module")
def exchange(tmp_path_factory):
    """Sets the state of this thread and returns the one before."""
    if supported_isas()[0] == "baseline":
        pytest.skip("the state is set with an instruction of x86")
    folder = tmp_path_factory.mktemp("state")
    source, library = folder / "state.cpp", folder / "state.so"
    source.write_text(SOURCE)
    command = shlex.split(os.environ.get("CXX") or "g++")
    subprocess.run([*command, "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    return ctypes.CDLL(str(library)).exchange


@pytest.mark.parametrize("threads", [1, 2])
def test_denormals_and_rounding_survive_another_librarys_state(exchange, arrays, threads):
    backend = CpuBackend(threads=threads)
    x = arrays.put(backend, np.full(40_000, 1e-30, np.float32))
    y = arrays.put(backend, np.full(40_000, 3e-10, np.float32))
    right = arrays.get(backend, backend.combine(Binary.MULTIPLY, x, y))
    before = exchange(FLUSH_AND_ROUND_UP)
    try:
        result = arrays.get(backend, backend.combine(Binary.MULTIPLY, x, y))
        flushed = np.float32(1e-30) * np.float32(3e-10)
        left_behind = exchange(FLUSH_AND_ROUND_UP)
    finally:
        exchange(before)
    assert flushed == 0  # numpy follows the state: the test would see a leak
    assert left_behind & 0xFFC0 == FLUSH_AND_ROUND_UP & 0xFFC0  # and it was put back
    assert arrays.same_bits(result, right)
    assert result[0] == np.float32(3e-40)
