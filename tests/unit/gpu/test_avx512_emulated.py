"""The AVX-512 kernels on machines without AVX-512: their instructions emulated lane by lane."""

import os
import shutil
import subprocess
import sys

import pytest

from gpu.cpu.library import LIBRARY, supported_isas

ROOT = LIBRARY.parent.parent
SHIM = ROOT / "tests" / "unit" / "gpu" / "avx512_emulated.h"
COPIED = ("gpu", "tests/unit/gpu", "tests/vectors")

# A compiler that builds the AVX-512 sources for AVX2 with the shim before them, and a library that
# says it can run them.
COMPILER = f"""#!{sys.executable}
import subprocess, sys
arguments = [argument for argument in sys.argv[1:] if not argument.startswith("-mavx512")]
if "-DTMK_ISA=avx512" in arguments:
    arguments += ["-include", {str(SHIM)!r}, "-Wno-psabi", "-O2"]
sys.exit(subprocess.run(["g++", "-D__builtin_cpu_supports(name)=1", *arguments]).returncode)
"""


@pytest.mark.full
def test_every_test_of_the_operations_passes(tmp_path):
    if "avx512" in supported_isas():
        pytest.skip("this machine has avx512 itself")
    if "avx2" not in supported_isas():
        pytest.skip("this machine has no avx2 to emulate avx512 with")
    compiler = tmp_path / "compiler"
    compiler.write_text(COMPILER)
    compiler.chmod(0o755)
    for folder in COPIED:
        shutil.copytree(ROOT / folder, tmp_path / folder)
    for file in ("pyproject.toml", "setup.py"):
        shutil.copy(ROOT / file, tmp_path / file)
    environment = os.environ | {"CXX": str(compiler), "PYTHONPATH": str(tmp_path)}
    build = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    subprocess.run(build, cwd=tmp_path, env=environment, check=True)
    tests = ("tests/unit/gpu/ops", "tests/unit/gpu/cpu", "tests/unit/gpu/proofs")
    run = [sys.executable, "-m", "pytest", "-q", "-k", "avx512", *tests]
    done = subprocess.run(
        run, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert "skipped" not in done.stdout
