import importlib.util
import json
from pathlib import Path

import pytest

from gpu.cpu import CpuBackend
from gpu.cpu.library import supported_isas

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def reference():
    """The plain-Python chain241 beside this file."""
    spec = importlib.util.spec_from_file_location("chain241_reference", HERE / "reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def vectors():
    return json.loads((HERE.parent.parent / "vectors" / "chain241.json").read_text())


@pytest.fixture(scope="session", params=supported_isas())
def backend(request):
    """The CPU with each instruction set that this machine runs."""
    return CpuBackend(request.param)
