import ctypes

import pytest

from gpu.check import fuzz as fuzzing
from gpu.check.fuzz import CASES, fuzz
from gpu.check.outcome import Pair
from gpu.cpu import CpuBackend
from gpu.errors import KernelFailed

RUNS = 12


@pytest.mark.parametrize("name", CASES)
def test_every_operation_is_the_references(oracle, name):
    assert fuzz(Pair(CpuBackend(), oracle), CASES[name], RUNS, seed=1) == ""


class Faulty(CpuBackend):
    """Products of more than 40 rows and 100 inner elements are wrong in one entry."""

    def launch(self, operation, call):
        super().launch(operation, call)
        if operation == "gemm_f32" and call.rows > 40 and call.inner > 100:
            ctypes.c_uint32.from_address(call.out).value ^= 8


def test_a_failure_is_made_as_small_as_it_goes(oracle):
    problem = fuzz(Pair(Faulty(), oracle), CASES["matmul"], 100, seed=1)
    assert problem.startswith("rows=41, inner=101, columns=1, seed ")
    assert "result 0, 1 of 41 words, the first is number 0: 0x" in problem
    assert fuzz(Pair(Faulty(), oracle), CASES["linear"], RUNS, seed=1) == ""


class Failing(CpuBackend):
    def launch(self, operation, call):
        if operation == "best" and call.width > 9:
            raise KernelFailed("best", "an illegal address")
        super().launch(operation, call)


def test_an_error_of_the_device_is_a_failure_with_its_shape(oracle):
    problem = fuzz(Pair(Failing(), oracle), CASES["top_k"], 50, seed=2)
    assert problem.startswith("rows=1, width=10, count=1, seed ")
    assert problem.endswith("best: an illegal address")


def test_sizes_lie_around_powers_of_two():
    random = fuzzing.np.random.default_rng(3)
    sizes = [fuzzing._size(random, 1000) for _ in range(2000)]
    assert min(sizes) == 1
    assert max(sizes) > 900
    assert {31, 32, 33, 255, 256, 257, 513} <= set(sizes)
