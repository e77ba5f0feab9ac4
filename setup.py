"""Build tmnode: plain top-level packages and one shared library of CPU kernels.

The kernels have a plain C ABI and are loaded by ctypes, so the extension has no Python in it:
`BuildKernels` compiles each `.cpp` of `gpu/csrc` with the flags of its instruction set and links
them into `gpu/libtmkernels.so`. A C++ compiler is needed, CUDA is not.

In place, for development: `python setup.py build_ext --inplace`. `CXX` names another compiler.
"""

# setuptools has no type information in every version that may build this.
# mypy: disable-error-code="import-untyped, misc"

import os
import platform
import shlex
import subprocess
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

SOURCES = Path("gpu/csrc")
LIBRARY = "gpu.libtmkernels"

# No FMA contraction, no libm errno: what a kernel computes is what its source says.
FLAGS = shlex.split(
    "-std=c++17 -O3 -fPIC -fvisibility=hidden -fno-exceptions -fno-rtti"
    " -ffp-contract=off -fno-math-errno -Wall -Wextra"
)

# One folder of gpu/csrc per instruction set, with the flags that only its files may have.
ISA_FLAGS = {"baseline": [], "avx2": ["-mavx2"]}
X86_ONLY = {"avx2"}

NO_COMPILER = "tmnode: the C++ compiler {!r} was not found; install one, e.g. apt install g++"


def instruction_sets() -> list[str]:
    """The instruction sets this machine's compiler can build for."""
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    return [isa for isa in ISA_FLAGS if x86 or isa not in X86_ONLY]


def compiler(*arguments: str) -> None:
    """Run the C++ compiler; without one, stop with one line that says what to install."""
    command = shlex.split(os.environ.get("CXX") or "g++")
    try:
        subprocess.run([*command, *arguments], check=True)
    except FileNotFoundError:
        raise SystemExit(NO_COMPILER.format(command[0])) from None
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"tmnode: {command[0]} failed with status {error.returncode}") from None


class BuildKernels(build_ext):
    """Compiles and links the kernels; the library has no Python version in its name."""

    def get_ext_filename(self, fullname: str) -> str:
        """The library's path: `gpu/libtmkernels.so` on every platform and Python."""
        return fullname.replace(".", "/") + ".so"

    def build_extension(self, ext: Extension) -> None:
        """Compile one object per source, then link them."""
        objects = [self.compiled(SOURCES / "isa.cpp", [])]
        for isa in instruction_sets():
            sources = sorted((SOURCES / isa).glob("*.cpp"))
            objects += [self.compiled(source, ISA_FLAGS[isa]) for source in sources]
        library = Path(self.get_ext_fullpath(ext.name))
        library.parent.mkdir(parents=True, exist_ok=True)
        # Renamed into place, so that a process which has the old library mapped keeps it whole.
        fresh = library.with_suffix(".new")
        compiler("-shared", "-o", str(fresh), *objects)
        fresh.replace(library)

    def compiled(self, source: Path, flags: list[str]) -> str:
        """Compile one source with the flags of its instruction set; returns the object's path."""
        target = Path(self.build_temp) / source.relative_to(SOURCES).with_suffix(".o")
        target.parent.mkdir(parents=True, exist_ok=True)
        compiler(*FLAGS, *flags, "-c", str(source), "-o", str(target))
        return str(target)


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
    package_data={"node.config": ["*.toml"]},
    ext_modules=[Extension(LIBRARY, sources=sorted(str(path) for path in SOURCES.rglob("*.cpp")))],
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
    ],
    extras_require={
        "gpu": ["pycuda>=2026.1,<2027"],
        "test": [
            "cryptography>=45",
            "ecdsa>=0.19,<1",
            "hypothesis>=6.100,<7",
            "jsonschema-rs>=0.60,<1",
            "mypy>=2.4,<3",
            "pycryptodome>=3.20,<5",
            "pytest>=9,<10",
            "pytest-trio>=0.8,<1",
            "requests>=2.32,<3",
            "ruff>=0.17,<0.18",
            "types-requests>=2.32,<3",
        ],
    },
)
