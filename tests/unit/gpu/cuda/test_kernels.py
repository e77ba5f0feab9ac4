"""The kernels as a whole: the self-test runs them all, and each of them right."""

import re

import numpy as np
import pytest

from gpu import selftest
from gpu.check.fuzz import CASES, fuzz
from gpu.check.outcome import Pair
from gpu.cuda import sources
from gpu.errors import KernelFailed

SIZES = [1, 3, 64, 65, 130]


def kernels():
    """Every name that the texts define, macros aside."""
    text = "".join(sources.text_of(name) for name in sources.NAMES)
    return set(re.findall(r"TM_KERNEL(?:_BESIDE)?\((?:tmk::\w+, )?(\w+),", text)) - {"name"}


def test_only_some_tiles_depend_on_the_architecture(shim):
    """The others are compiled once for all devices of these tests."""
    headers = {path.name for path in sources.KERNELS.glob("*.h") if "TM_ARCH" in path.read_text()}
    assert headers == {"intrinsics.h", "integer_tile.h"}
    tiles = ("integer_tile.h", "fours.h")
    including = {name for name in sources.NAMES if any(t in sources.text_of(name) for t in tiles)}
    assert including == set(shim.DIFFERENT)
    assert not [name for name in sources.NAMES if "TM_ARCH" in sources.text_of(name)]


@pytest.mark.parametrize(
    "which", [slice(0, 4, 3), pytest.param(slice(1, 3), marks=pytest.mark.full)]
)
def test_every_device_passes_the_self_test(threaded, which):
    """Either order of threads and either kind of architecture; their other pairs in full."""
    for device in threaded[which]:
        assert [finding for finding in selftest.findings(device) if finding.problem] == []


def test_the_self_test_runs_every_kernel(open_device):
    device = open_device()
    list(selftest.findings(device))
    launched = {kernel for kernel, _, _ in device._driver.launched}
    assert kernels() - launched == set()
    families = ("gemm_f32", "linear", "cast", "conv2d")
    variants = {kernel for kernel in launched if kernel.startswith(families)}
    assert len(variants) == 8 + 11 + 8 + 9


@pytest.mark.parametrize("size", SIZES)
def test_chains_of_products_are_the_cpus(threaded, oracle, arrays, size):
    """Of tiles within larger matrices, too: what is beside them stays as it was."""
    residues = np.random.default_rng(size).integers(0, 241, (size + 3, size + 5), np.uint8)

    def steps(device):
        x = arrays.put(device, residues)
        out = device.empty(size + 3, size + 5)
        device.expand(out, bytes(32), 0, 0)
        part = device.tile(x, slice(0, size), slice(0, size))
        target = device.tile(out, slice(2, 2 + size), slice(3, 3 + size))
        device.product(part, part, target)
        first = arrays.get(device, out)
        device.scale_rows(target, device.tile(x, slice(size, size + 1), slice(0, size)))
        inside = bytes(device.download(target))
        return first, arrays.get(device, out), np.frombuffer(inside, np.uint8)

    expected = steps(oracle)
    for device in threaded:
        for result, wanted in zip(steps(device), expected, strict=True):
            assert arrays.same_bits(result, wanted)


def test_bytes_over_240_count_mod_241(backend, oracle, arrays):
    x = np.arange(256, dtype=np.uint8).reshape(16, 16)

    def squared(device):
        out = device.empty(16, 16)
        device.product(arrays.put(device, x), arrays.put(device, x), out)
        return arrays.get(device, out)

    assert arrays.same_bits(squared(backend), squared(oracle))


def test_sizes_over_the_limit_are_refused(backend):
    x = backend.empty(1, 65_537)
    out = backend.empty(1, 1)
    with pytest.raises(KernelFailed, match="chain241_product: bad argument"):
        backend.product(x, backend.empty(65_537, 1), out)


@pytest.mark.parametrize("name", CASES)
def test_random_shapes(threaded, oracle, name):
    """As `make gpu-check` has them, but smaller."""
    sizes = {n: most if n == "first" else min(most, 300) for n, most in CASES[name].sizes.items()}
    case = CASES[name]._replace(sizes=sizes)
    for number, device in enumerate(threaded):
        assert fuzz(Pair(device, oracle), case, 3, seed=number) == ""
