"""NVRTC: CUDA's compiler as a library, without a toolkit, without a GPU.

It comes with `pip install tmnode[gpu]`; a toolkit's own serves too. The flags belong to the bits of
the results: no contraction, no flushing of denormals, division and roots rounded as IEEE 754 says.
"""

import ctypes
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from gpu.cuda import sources
from gpu.errors import CompilationFailed, DeviceUnavailable

# Every NVIDIA architecture with tensor cores for bytes that current drivers serve.
ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)

FLAGS = (
    "--std=c++17",
    "-fmad=false",
    "-ftz=false",
    "-prec-div=true",
    "-prec-sqrt=true",
    "-default-device",
    "--ptxas-options=-v",
)

# Where packages and toolkits keep the library, and the one it loads itself.
_PACKAGES = ("cuda_nvrtc/lib", "cu13/lib")
_TOOLKIT = Path("/usr/local/cuda/lib64")
_ADVICE = "install it with `pip install tmnode[gpu]`"


def architecture_for(major: int, minor: int) -> int:
    """The architecture whose machine code a device runs: of the same major, the latest it knows.

    Raises DeviceUnavailable for devices that are too old or too new.
    """
    able = [known for known in ARCHITECTURES if known // 10 == major and known % 10 <= minor]
    if not able:
        known = ", ".join(f"{known // 10}.{known % 10}" for known in ARCHITECTURES)
        raise DeviceUnavailable(
            f"there are no kernels for compute capability {major}.{minor}, only for {known}"
        )
    return max(able)


class Compiled(NamedTuple):
    """What NVRTC made: the machine code, the PTX it came from, and what ptxas said."""

    cubin: bytes
    ptx: str
    log: str


class Compiler:
    """NVRTC of this machine. Raises DeviceUnavailable where there is none."""

    def __init__(self) -> None:
        self._library = _opened()
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._library.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
        self.version = f"{major.value}.{minor.value}"

    def compile(self, name: str, architecture: int) -> Compiled:
        """Compile a source of csrc/cuda. Raises CompilationFailed with the compiler's words."""
        text, program = sources.text_of(name).encode(), ctypes.c_void_p()
        self._library.nvrtcCreateProgram(
            ctypes.byref(program), text, f"{name}.cu".encode(), 0, None, None
        )
        try:
            failed = self._library.nvrtcCompileProgram(program, *_options(architecture))
            log = self._text(program, "ProgramLog").decode(errors="replace")
            if failed:
                raise CompilationFailed(name, architecture, log or f"NVRTC error {failed}")
            ptx = self._text(program, "PTX").rstrip(b"\0").decode()
            return Compiled(self._text(program, "CUBIN"), ptx, log)
        finally:
            self._library.nvrtcDestroyProgram(ctypes.byref(program))

    def _text(self, program: ctypes.c_void_p, part: str) -> bytes:
        size = ctypes.c_size_t()
        self._library[f"nvrtcGet{part}Size"](program, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(size.value)
        self._library[f"nvrtcGet{part}"](program, buffer)
        return buffer.raw


def _options(architecture: int) -> tuple[int, ctypes.Array[ctypes.c_char_p]]:
    folders = (f"-I{sources.SOURCES}", f"-I{sources.HEADERS}")
    options = [flag.encode() for flag in (*FLAGS, f"-arch=sm_{architecture}", *folders)]
    return len(options), (ctypes.c_char_p * len(options))(*options)


def _opened() -> ctypes.CDLL:
    for path in _candidates():
        builtins = sorted(path.parent.glob("libnvrtc-builtins.so.*"))
        try:
            for other in builtins:  # NVRTC looks for it where the system keeps libraries
                ctypes.CDLL(str(other), mode=ctypes.RTLD_GLOBAL)
            return ctypes.CDLL(str(path))
        except OSError:
            continue
    raise DeviceUnavailable(f"NVRTC, the compiler of the GPU kernels, was not found: {_ADVICE}")


def _candidates() -> Iterator[Path]:
    found = importlib.util.find_spec("nvidia")
    for root in found.submodule_search_locations or () if found else ():
        for package in _PACKAGES:
            yield from sorted((Path(root) / package).glob("libnvrtc.so.*"))
    yield from sorted(_TOOLKIT.glob("libnvrtc.so.*"))
