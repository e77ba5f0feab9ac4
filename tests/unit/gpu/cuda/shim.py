"""The CUDA kernels on the CPU: builds their sources with fibers.h, and plays their device."""

import ctypes
import hashlib
import os
import shlex
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gpu.cuda import sources
from gpu.errors import DeviceMemoryExhausted, KernelFailed

HERE = Path(__file__).parent
BUILD = HERE.parents[3] / "build" / "shim"
FLAGS = (
    "-std=c++17 -O2 -fPIC -ffp-contract=off -fno-math-errno -Wall -Wextra"
    " -Wno-unknown-pragmas -Wno-unused-function"
)
# The sources whose kernels depend on the architecture.
DIFFERENT = ("convolution", "floats", "integers", "linear", "quantized")
LANES = 32
NAN_BYTES, LARGE_BYTES = 0xFF, 0x7F


def has_fma():
    return " fma " in Path("/proc/cpuinfo").read_text().replace("\n", " ")


def build(architectures):
    """Libraries of all kernels by architecture, made anew when a text changes.

    What is the same on every architecture is compiled once.
    """
    digest = hashlib.sha256(sources.digest() + " ".join(flags_for(0)).encode())
    for name in ("fibers.h", "fibers.cpp"):
        digest.update((HERE / name).read_bytes())
    folder = BUILD / digest.hexdigest()[:24]
    libraries = {number: folder / f"libshim{number}.so" for number in architectures}
    if not all(library.exists() for library in libraries.values()):
        texts = sorted(sources.KERNELS.glob("*.cu"))
        same = [text for text in texts if text.stem not in DIFFERENT]
        objects = compile_all(same, folder, flags_for(architectures[0]))
        for number, library in libraries.items():
            different = [text for text in texts if text.stem in DIFFERENT]
            link(library, different, flags_for(number), *objects)
    return libraries


def flags_for(architecture):
    return [
        *shlex.split(FLAGS + (" -mavx2 -mfma" if has_fma() else "")),
        *(f"-I{sources.SOURCES}", f"-DTM_ARCH={architecture}"),
        f'-DTM_SHIM="{HERE / "fibers.h"}"',
    ]


def link(library, texts, flags, *linking):
    """Make a library of kernels and of what runs them."""
    objects = compile_all([*texts, HERE / "fibers.cpp"], library.parent, flags)
    fresh = library.with_suffix(f".{os.getpid()}")
    subprocess.run(["g++", "-shared", *linking, "-o", fresh, *objects], check=True)
    fresh.replace(library)


def compile_all(texts, folder, flags):
    """The objects of some sources."""
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return list(pool.map(lambda text: _compile(text, folder, flags), texts))


def _compile(text, folder, flags):
    target = folder / f"{text.stem}.{os.getpid()}.o"
    subprocess.run(["g++", *flags, "-x", "c++", "-c", text, "-o", target], check=True)
    return target


class ShimDriver:
    """A device whose threads are fibers; `reverse` runs threads and blocks from the last."""

    def __init__(self, library, *, reverse=False, rubbish=NAN_BYTES, capacity=1 << 32):
        self.name = "CPU fibers"
        self.architecture = 80
        self.granularity = 1
        self.launched = []
        self.held = {}
        self._capacity = capacity
        self._library = ctypes.CDLL(str(library))
        self._library.shim_launch.restype = ctypes.c_char_p
        self._library.shim_allocate.restype = ctypes.c_void_p
        self._reverse, self._rubbish = int(reverse), rubbish

    def allocate(self, size):
        if sum(self.held.values()) + size > self._capacity:
            raise DeviceMemoryExhausted(f"{size} bytes")
        address = self._library.shim_allocate(ctypes.c_uint64(size), self._rubbish)
        self.held[address] = size
        return address

    def release(self, address, size):
        assert self.held.pop(address) == size
        self._library.shim_release(ctypes.c_void_p(address), ctypes.c_uint64(size))

    def load(self, image):
        return image

    def launch(self, _module, kernel, grid, threads, arguments):
        self._check(kernel, threads, arguments)
        function = ctypes.cast(self._library[f"kernel_{kernel}"], ctypes.c_void_p)
        self.launched.append((kernel, grid, threads))
        failure = self._library.shim_launch(
            function, arguments, (ctypes.c_uint * 3)(*grid), threads, self._reverse, self._rubbish
        )
        if failure is not None:
            raise KernelFailed(kernel, failure.decode())

    def clear(self, address, size):
        ctypes.memset(address, 0, size)

    def upload(self, address, data):
        ctypes.memmove(address, bytes(data), len(data))

    def download(self, address, size):
        return memoryview(ctypes.string_at(address, size))

    def _check(self, kernel, threads, arguments):
        """What the CUDA driver would not say, or say too late."""
        size = ctypes.c_int64.in_dll(self._library, f"call_bytes_of_{kernel}").value
        most = ctypes.c_int64.in_dll(self._library, f"most_threads_of_{kernel}").value
        assert len(arguments) == size, f"{kernel} takes {size} bytes, not {len(arguments)}"
        assert threads <= most, f"{kernel} has {most} threads at most, not {threads}"
        assert threads % LANES == 0, f"{kernel} is launched with {threads} threads"
