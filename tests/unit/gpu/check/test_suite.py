import ctypes

import pytest

from gpu.check import whole
from gpu.check.outcome import Pair
from gpu.check.suite import QUICK, Setting, checks
from gpu.cpu import CpuBackend

TINY = Setting(None, 100_003, 2, (64,), (40, 2))
SLOW = ("shapes", "floats", "speed")


@pytest.mark.parametrize("name", [name for name in checks(TINY) if not name.startswith(SLOW)])
def test_every_check_passes_on_a_right_device(oracle, name):
    outcome = checks(TINY)[name](TINY, Pair(CpuBackend(), oracle))
    assert outcome.passed, outcome.detail
    assert outcome.name == name
    assert outcome.detail


@pytest.mark.parametrize("name", ["shapes rows", "floats tanh"])
def test_one_of_a_kind(oracle, name):
    outcome = checks(TINY)[name](TINY, Pair(CpuBackend(), oracle))
    assert (outcome.name, outcome.passed) == (name, True)


def test_speed_has_a_figure_for_everything(oracle, monkeypatch):
    monkeypatch.setattr("gpu.check.speed._LEAST_S", 0.0)
    outcome = checks(TINY)["speed 64"](TINY, Pair(CpuBackend(), oracle))
    names = [line.partition(":")[0] for line in outcome.detail.splitlines()]
    assert {"matmul f32 64", "product mod 241 64", "linear i8, one row, 64", "upload"} <= set(names)


def test_every_operation_of_the_quick_setting_has_a_check():
    names = set(checks(QUICK))
    assert {"self-test", "PTX", "shapes matmul", "floats exp", "speed 4096"} <= names


class Drifting(CpuBackend):
    """Another bit in the fourth product."""

    products = 0

    def launch(self, operation, call):
        super().launch(operation, call)
        if operation == "chain241_product":
            self.products += 1
            if self.products == 20:
                ctypes.c_uint8.from_address(call.out).value ^= 1


def test_bits_that_change_are_seen():
    assert whole.repeated(Drifting(), 5).startswith("product: other bits at repetition ")
    assert "product: its bits differ" in whole.from_threads(Drifting(), 4)


class Lying(CpuBackend):
    def launch(self, operation, call):
        super().launch(operation, call)
        if operation == "chain241_product":
            ctypes.c_uint8.from_address(call.out).value = 7


def test_a_wrong_chain_is_seen():
    assert "does not follow" in whole.chain(Lying(), 30, 3)
