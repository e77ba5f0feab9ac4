import ctypes

import pytest

from gpu.check import whole
from gpu.check.outcome import Pair
from gpu.check.suite import Setting, checks
from gpu.cpu import CpuBackend
from gpu.cuda import figures
from gpu.cuda.figures import Sizes

SMALL = Sizes((64,), (48,), (4, 200), (96, 64), 20, (70, 4, 2, 16), (2, 9, 5))
TINY = Setting(None, 100_003, 2, SMALL, (40, 2))
SLOW = ("shapes", "floats", "speed")


@pytest.mark.parametrize("name", [name for name in checks() if not name.startswith(SLOW)])
def test_every_check_passes_on_a_right_device(oracle, name):
    outcome = checks()[name](TINY, Pair(CpuBackend(), oracle))
    assert outcome.passed, outcome.detail
    assert outcome.name == name
    assert outcome.detail


@pytest.mark.parametrize("name", ["shapes rows", "floats tanh"])
def test_one_of_a_kind(oracle, name):
    outcome = checks()[name](TINY, Pair(CpuBackend(), oracle))
    assert (outcome.name, outcome.passed) == (name, True)


@pytest.mark.parametrize(
    ("part", "some"),
    [
        ("products", {"f32 product, n = 64", "i8 product, n = 64", "product mod 241, n = 48"}),
        ("memory", {"softmax of 4 x 200", "one row times 96 x 64 bf16 weights"}),
        (
            "layers",
            {"20 rows times 96 x 64 i8 weights", "3x3 convolution, 2 images of 9, 5 channels"},
        ),
    ],
)
def test_speed_has_a_figure_for_everything(oracle, monkeypatch, part, some):
    monkeypatch.setattr(figures, "LEAST_S", 0.0)
    outcome = checks()[f"speed {part}"](TINY, Pair(CpuBackend(), oracle))
    lines = outcome.detail.splitlines()
    assert some <= {line.partition(":")[0] for line in lines}
    assert all(float(line.partition(":")[2].split()[0].replace(",", "")) >= 0 for line in lines)


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
