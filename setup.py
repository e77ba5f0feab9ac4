"""Build tmnode: plain top-level packages and one shared library of CPU kernels.

The kernels have a plain C ABI and are loaded by ctypes, so the extension has no Python in it:
`BuildKernels` compiles the sources of `gpu/csrc` with the flags of each instruction set and links
them into `gpu/libtmkernels.so`. A C++ compiler is needed, CUDA is not.

In place, for development: `python setup.py build_ext --inplace`. `CXX` names another compiler.
"""

# setuptools has no type information in every version that may build this.
# mypy: disable-error-code="import-untyped, misc"

import os
import platform
import shlex
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

SOURCES = Path("gpu/csrc")
LIBRARY = "gpu.libtmkernels"
PROOFS_LIBRARY = "gpu.libtmproofs"

# No FMA contraction, no libm errno: what a kernel computes is what its source says.
FLAGS = shlex.split(
    "-std=c++17 -O3 -fPIC -fvisibility=hidden -fno-exceptions -fno-rtti"
    " -ffp-contract=off -fno-math-errno -Wall -Wextra -Wno-unused-function"
)

# gpu/csrc/kernels is compiled once per instruction set, with the flags and the folder of headers
# that only its objects may have; gpu/csrc/reference is the baseline. (GCC's own AVX-512 headers set
# off the warnings that are switched off.)
VECTOR_FLAGS = {
    "avx2": "-mavx2 -mfma",
    "avx512": "-mavx2 -mfma -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni"
    " -Wno-uninitialized -Wno-maybe-uninitialized",
}

# CUDA's compiler as a library; from 12.8 on it knows every architecture of gpu/cuda/compiler.py.
NVRTC = "nvidia-cuda-nvrtc-cu12>=12.8,<13; sys_platform == 'linux'"

NO_COMPILER = "tmnode: the C++ compiler {!r} was not found; install one, e.g. apt install g++"


class Unit(NamedTuple):
    """A source, the flags it is compiled with, and its object."""

    source: Path
    flags: list[str]
    target: Path


def units(build: Path) -> list[Unit]:
    """What to compile for this machine's architecture."""
    found = [*_folder("host", build, "host", []), *_folder("reference", build, "baseline", [])]
    for isa, flags in _vector_flags().items():
        found += _folder("kernels", build, isa, flags)
    return found


def proof_units(build: Path) -> list[Unit]:
    """The same for the proofs' field arithmetic: one text, compiled for each instruction set."""
    found = [*_folder("proofs/host", build, "host", [])]
    for isa, flags in {"baseline": [], **_vector_flags()}.items():
        headers = f"-I{SOURCES / 'proofs' / 'isa' / isa}"
        found += _folder("proofs/kernels", build, isa, [*flags, headers])
    return found


def _vector_flags() -> dict[str, list[str]]:
    """What this architecture has beside the baseline."""
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    return {
        isa: [*shlex.split(flags), f"-I{SOURCES / 'isa' / isa}"]
        for isa, flags in (VECTOR_FLAGS.items() if x86 else ())
    }


def _folder(name: str, build: Path, isa: str, flags: list[str]) -> list[Unit]:
    sources = sorted((SOURCES / name).glob("*.cpp"))
    flags = [*FLAGS, *flags, f"-DTMK_ISA={isa}"]
    return [Unit(source, flags, build / isa / f"{source.stem}.o") for source in sources]


def command() -> list[str]:
    """The C++ compiler."""
    return shlex.split(os.environ.get("CXX") or "g++")


def compiler(*arguments: str) -> None:
    """Run the C++ compiler; without one, stop with one line that says what to install."""
    try:
        subprocess.run([*command(), *arguments], check=True)
    except FileNotFoundError:
        raise SystemExit(NO_COMPILER.format(command()[0])) from None
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"tmnode: {command()[0]} failed with status {error.returncode}") from None


def is_fresh(unit: Unit) -> bool:
    """Whether the object was made by this command from files that have not changed since."""
    made, depends = unit.target.with_suffix(".txt"), unit.target.with_suffix(".d")
    if not (unit.target.exists() and made.exists() and depends.exists()):
        return False
    if made.read_text() != shlex.join([*command(), *unit.flags]):
        return False
    files = depends.read_text().partition(":")[2].replace("\\\n", " ").split()
    born = unit.target.stat().st_mtime
    return all(os.path.exists(file) and os.path.getmtime(file) <= born for file in files)


def compile_unit(unit: Unit) -> str:
    """The path of an up-to-date object."""
    if is_fresh(unit):
        return str(unit.target)
    unit.target.parent.mkdir(parents=True, exist_ok=True)
    depends, fresh = unit.target.with_suffix(".d"), unit.target.with_suffix(".new")
    arguments = [*unit.flags, "-MMD", "-MF", str(depends), "-c", str(unit.source)]
    compiler(*arguments, "-o", str(fresh))
    fresh.replace(unit.target)
    unit.target.with_suffix(".txt").write_text(shlex.join([*command(), *unit.flags]))
    return str(unit.target)


class BuildKernels(build_ext):
    """Compiles and links the kernels; the library has no Python version in its name."""

    def get_ext_filename(self, fullname: str) -> str:
        """The library's path: `gpu/libtmkernels.so` on every platform and Python."""
        return fullname.replace(".", "/") + ".so"

    def build_extension(self, ext: Extension) -> None:
        """Compile what has changed, as many at a time as there are cores, then link."""
        build = Path(self.build_temp) / ext.name.removeprefix("gpu.lib")
        wanted = proof_units(build) if ext.name == PROOFS_LIBRARY else units(build)
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            objects = list(pool.map(compile_unit, wanted))
        library = Path(self.get_ext_fullpath(ext.name))
        library.parent.mkdir(parents=True, exist_ok=True)
        # Renamed into place, so that a process which has the old library mapped keeps it whole.
        fresh = library.with_suffix(".new")
        compiler("-shared", "-pthread", "-o", str(fresh), *objects)
        fresh.replace(library)


setup(
    name="tmnode",
    version="0.1.0",
    description="A market of GPU work in which every kernel gives the same bits on every device",
    python_requires=">=3.11",
    packages=find_packages(
        include=[
            f"{name}{rest}" for name in ("node", "p2p", "gpu", "storage") for rest in ("", ".*")
        ]
    ),
    package_dir={"": "."},
    package_data={
        "node.config": ["*.toml"],
        "gpu": ["csrc/*.h", "csrc/*/*.h", "csrc/cuda/*.cu", "csrc/cuda/include/*.h"],
        "gpu.selftest": ["*.json"],
    },
    ext_modules=[
        Extension(LIBRARY, sources=sorted(str(path) for path in SOURCES.rglob("*.cpp"))),
        Extension(PROOFS_LIBRARY, sources=[]),  # among the sources above
    ],
    cmdclass={"build_ext": BuildKernels},
    entry_points={"console_scripts": ["tmnode = node.cli.main:main"]},
    install_requires=[
        "blake3>=1.0,<2",
        "click>=8.4,<9",
        "coincurve>=21,<22",
        "fastapi>=0.115,<1",
        "httpx>=0.28,<1",
        "hypercorn>=0.17,<1",
        "libp2p==0.8.1",
        "msgspec>=0.19,<1",
        "numpy>=2.0,<3",
        "plyvel>=1.5,<2",
        "pynacl>=1.5,<2",
        "trio>=0.30,<1",
        "wsproto>=1.2,<2",
    ],
    extras_require={
        "gpu": [NVRTC, "pycuda>=2026.1,<2027"],
        "full": ["schemathesis>=4.32,<5"],
        "test": [
            "cryptography>=45",
            "ecdsa>=0.19,<1",
            "hypothesis>=6.100,<7",
            "jsonschema-rs>=0.60,<1",
            "mypy>=2.4,<3",
            NVRTC,
            "pycryptodome>=3.20,<5",
            "pytest>=9,<10",
            "pytest-trio>=0.8,<1",
            "requests>=2.32,<3",
            "ruff>=0.17,<0.18",
            "types-requests>=2.32,<3",
        ],
    },
)
