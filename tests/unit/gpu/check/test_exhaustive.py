import ctypes

import numpy as np
import pytest

from gpu.check.exhaustive import awkward_floats, awkward_pairs, every_float
from gpu.check.outcome import Pair
from gpu.cpu import CpuBackend
from gpu.ops import Binary, Unary

STRIDE = 65_537


@pytest.fixture
def pair(oracle):
    return Pair(CpuBackend(), oracle)


def test_right_functions_pass(pair):
    assert every_float(pair, Unary.EXP, STRIDE) == ""
    assert awkward_pairs(pair, Binary.DIVIDE) == ""


class Faulty(CpuBackend):
    """The result of one element is wrong."""

    def launch(self, operation, call):
        super().launch(operation, call)
        ctypes.c_uint32.from_address(call.out + 4 * 5).value ^= 1


def test_the_first_wrong_float_is_named(oracle):
    problem = every_float(Pair(Faulty(), oracle), Unary.MAGNITUDE, STRIDE)
    assert problem == (
        "magnitude(0x00050005) is 0x00050004 instead of 0x00050005, and 0 more are wrong"
    )


def test_the_first_wrong_pair_is_named(oracle):
    problem = awkward_pairs(Pair(Faulty(), oracle), Binary.ADD)
    assert problem.startswith("add(0x00000000, 0x00400001) is ")


def test_every_kind_of_float_is_awkward():
    floats = awkward_floats().view(np.float32)
    assert np.unique(awkward_floats()).size == floats.size
    with np.errstate(invalid="ignore"):
        assert {0.0, np.inf, -np.inf, 1.0, -1.0, 2.0, 0.5} <= set(floats.tolist())
    assert np.isnan(floats).sum() > 4
    assert ((floats != 0) & (np.abs(floats) < np.finfo(np.float32).tiny)).sum() > 4
