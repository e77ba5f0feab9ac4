"""The driver of PyCUDA, over a CUDA driver that has no GPU (fake_cuda.cpp).

PyCUDA itself is real: the wheel that `make gpu-wheel` has put into dist/gpu, or one that is
installed. Beside the results this tries what waits for what: the fake does everything as late as
it may.
"""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gpu.cuda import pycuda
from gpu.errors import DeviceUnavailable

HERE = Path(__file__).parent
ROOT = HERE.parents[3]
STUB = 'extern "C" int %s() { fputs("%s is not faked\\n", stderr); abort(); }\n'


def test_without_pycuda_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pycuda.driver", None)
    with pytest.raises(DeviceUnavailable, match=r"PyCUDA cannot be used .*docs/operations.md"):
        pycuda.imported()


def test_a_driver_that_does_not_start_is_said_so(monkeypatch):
    class Cuda:
        class Error(Exception):
            pass

        @staticmethod
        def init():
            raise Cuda.Error("cuInit failed: no CUDA-capable device is detected")

    monkeypatch.setitem(sys.modules, "pycuda.driver", Cuda)
    monkeypatch.setattr(pycuda.importlib, "import_module", lambda name: sys.modules[name])
    with pytest.raises(DeviceUnavailable, match="no CUDA-capable device"):
        pycuda.imported()


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """A folder with PyCUDA in it."""
    if found := importlib.util.find_spec("pycuda"):
        return Path(found.submodule_search_locations[0]).parent
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    wheels = sorted((ROOT / "dist" / "gpu").glob(f"pycuda-*-{python}-*.whl"))
    if not wheels:
        pytest.skip("PyCUDA is not installed, and `make gpu-wheel` has not built it")
    folder = tmp_path_factory.mktemp("packages")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder]
    subprocess.run([*pip, wheels[-1]], check=True)
    return folder


@pytest.fixture(scope="module")
def driver(shim, packages, tmp_path_factory):
    """A folder with a libcuda.so.1 that has every function PyCUDA asks for."""
    folder = tmp_path_factory.mktemp("driver")
    (extension,) = packages.glob("pycuda/_driver*.so")
    listing = subprocess.run(
        ["nm", "-D", "--undefined-only", extension], capture_output=True, text=True, check=True
    ).stdout
    wanted = set(re.findall(r" U (cu[A-Z]\w+)", listing))
    faked = set(re.findall(r"^API (\w+)\(", (HERE / "fake_cuda.cpp").read_text(), re.MULTILINE))
    stubs = folder / "stubs.cpp"
    lines = [STUB % (name, name) for name in sorted(wanted - faked)]
    stubs.write_text("#include <stdio.h>\n#include <stdlib.h>\n" + "".join(lines))
    texts = [*sorted(shim.sources.KERNELS.glob("*.cu")), HERE / "fake_cuda.cpp", stubs]
    shim.link(folder / "libcuda.so.1", texts, shim.flags_for(800), "-Wl,-soname,libcuda.so.1")
    return folder


@pytest.fixture(scope="module")
def answer(packages, driver):
    environment = os.environ | {
        "LD_LIBRARY_PATH": str(driver),
        "PYTHONPATH": os.pathsep.join((str(packages), str(ROOT))),
    }
    done = subprocess.run(
        [sys.executable, HERE / "fake_program.py"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "PyCUDA" not in done.stderr, done.stderr  # it warns when it cannot clean up
    return json.loads(done.stdout)


@pytest.mark.full
def test_the_device_is_described(answer):
    assert answer["found"] == [[0, "No GPU at all", [8, 0], 256 << 20], ""]


@pytest.mark.full
@pytest.mark.parametrize("check", ["self-test", "threads", "chain"])
def test_bits_are_right(answer, check):
    assert answer[check] == ""


@pytest.mark.full
@pytest.mark.parametrize("check", ["large copies", "memory in use", "uploads first"])
def test_streams_wait_for_each_other(answer, check):
    assert answer[check] is True


@pytest.mark.full
def test_errors_of_cuda_are_ours(answer):
    assert answer["too large"].startswith("DeviceMemoryExhausted: No GPU at all: ")
    assert answer["no such number"] == "DeviceUnavailable: there is no GPU 1: CUDA sees 1"
    assert answer["bad image"].startswith("KernelFailed: load: No GPU at all: ")
    assert answer["bad address"].startswith("KernelFailed: ")
