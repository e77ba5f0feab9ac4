"""The CUDA kernels as devices of this machine's CPU, in place of the CPU's own kernels."""

import importlib.util
import platform
from pathlib import Path

import pytest

from gpu.cuda.backend import CudaBackend
from gpu.cuda.launches import OPERATIONS, QUESTIONS

HERE = Path(__file__).parent


class NoImages(dict):
    """The shim's kernels are all in one library, which it has already."""

    def __missing__(self, name):
        return b""


@pytest.fixture(scope="session")
def shim():
    """The module beside this file that builds and drives the kernels."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        pytest.skip("the fibers that run CUDA kernels are written for x86-64")
    spec = importlib.util.spec_from_file_location("gpu_tests_shim", HERE / "shim.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def libraries(shim):
    """The kernels as newer architectures have them, and as Turing has them."""
    return shim.build((800, 750))


@pytest.fixture(scope="session")
def open_device(shim, libraries):
    """A function that opens a device."""

    def opened(architecture=800, **options):
        return CudaBackend(shim.ShimDriver(libraries[architecture], **options), NoImages())

    return opened


class Partial(CudaBackend):
    """Skips what has no CUDA kernel yet, by name, in tests that were written for the CPU."""

    def launch(self, operation, call):
        self._require(operation, OPERATIONS)
        super().launch(operation, call)

    def measure(self, question, call):
        self._require(question, QUESTIONS)
        return super().measure(question, call)

    def _require(self, name, known):
        if name not in known:
            pytest.skip(f"there is no CUDA kernel for {name} yet")


@pytest.fixture(scope="session")
def threaded(shim, libraries):
    """Threads from the first and from the last, on either kind of architecture."""
    orders = ({}, {"reverse": True, "rubbish": shim.LARGE_BYTES})
    return tuple(
        Partial(shim.ShimDriver(libraries[architecture], **order), NoImages())
        for architecture in (800, 750)
        for order in orders
    )


@pytest.fixture(scope="session")
def backend(threaded):
    """Stands in for the CPU in tests that were written for it."""
    return threaded[0]
