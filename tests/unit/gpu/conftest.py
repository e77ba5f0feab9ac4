import importlib.util
import json
from pathlib import Path

import pytest

from gpu.cpu import CpuBackend
from gpu.cpu.library import supported_isas

HERE = Path(__file__).parent
ALL_ISAS = ("avx512", "avx2", "baseline")
THREADS = (1, 2, 3, 5)


def isa_params():
    """Every instruction set that is built; those this machine lacks are skipped by name."""
    here = supported_isas()
    return [
        pytest.param(
            isa,
            marks=() if isa in here else pytest.mark.skip(reason=f"this machine has no {isa}"),
        )
        for isa in ALL_ISAS
    ]


def beside(name):
    """A module beside this file."""
    spec = importlib.util.spec_from_file_location(f"gpu_tests_{name}", HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def reference():
    """The plain-Python chain241."""
    return beside("reference")


@pytest.fixture(scope="session")
def arrays():
    """numpy arrays in and out of a backend."""
    return beside("arrays")


@pytest.fixture(scope="session")
def orders():
    """The reduction orders in exact arithmetic."""
    return beside("orders")


@pytest.fixture(scope="session")
def goldens():
    return json.loads((HERE.parent.parent / "vectors" / "kernels.json").read_text())


@pytest.fixture(scope="session")
def vectors():
    return json.loads((HERE.parent.parent / "vectors" / "chain241.json").read_text())


@pytest.fixture(scope="session", params=isa_params())
def backend(request):
    """The CPU with each instruction set."""
    return CpuBackend(request.param)


@pytest.fixture(scope="session")
def oracle():
    """The plain loops that define every operation."""
    return CpuBackend("baseline")


@pytest.fixture(scope="session", params=isa_params())
def threaded(request):
    """The CPU with each instruction set and each number of threads."""
    return tuple(CpuBackend(request.param, threads=threads) for threads in THREADS)
