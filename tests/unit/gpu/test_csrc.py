"""What the kernels' sources and objects may hold."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from gpu.cpu.library import LIBRARY

SOURCES = LIBRARY.parent / "csrc"
ALLOWED = re.compile(
    r"^(calloc|free|memcpy|memset|memmove|pthread_\w+|__cxa_\w+|__gmon_start__|_ITM_\w+)$"
)
FLAGS = (
    "-std=c++17",
    "-O1",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fno-exceptions",
    "-DTMK_ISA=baseline",
)


def test_no_function_of_libm_is_linked():
    if shutil.which("nm") is None:
        pytest.skip("there is no nm on this machine")
    listing = subprocess.run(
        ["nm", "-D", "--undefined-only", str(LIBRARY)], capture_output=True, text=True, check=True
    ).stdout
    names = [line.split()[-1].partition("@")[0] for line in listing.splitlines()]
    assert [name for name in names if not ALLOWED.match(name)] == []


def test_the_maths_includes_nothing_but_itself():
    """It has to compile where there are no system headers."""
    for path in (SOURCES / "math").glob("*.h"):
        includes = set(re.findall(r"#include (\S+)", path.read_text()))
        inside = {f'"{header.name}"' for header in (SOURCES / "math").glob("*.h")}
        assert includes - inside <= {"<stdint.h>"}, path.name


def test_the_maths_calls_no_approximation():
    banned = re.compile(r"\b(fmaxf?|fminf?|expf|logf|sinf|cosf|powf|rsqrtf?|__expf|std::\w+)\s*\(")
    for path in (SOURCES / "math").glob("*.h"):
        assert not banned.search(path.read_text()), path.name


@pytest.mark.parametrize("folder", ["host", "reference"])
def test_other_architectures_compile(folder, tmp_path):
    compiler = shutil.which("aarch64-linux-gnu-g++")
    if compiler is None:
        pytest.skip("there is no aarch64-linux-gnu-g++ on this machine")
    for source in sorted((SOURCES / folder).glob("*.cpp")):
        target = tmp_path / f"{Path(source).stem}.o"
        subprocess.run([compiler, *FLAGS, "-c", str(source), "-o", str(target)], check=True)
