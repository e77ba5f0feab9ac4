"""Loading `gpu/libtmkernels.so` and choosing its instruction set (interface: csrc/tmkernels.h)."""

import ctypes
import os
from collections.abc import Callable
from pathlib import Path

from gpu.errors import KernelFailed, KernelsUnavailable
from gpu.ops.calls import STRUCTURES

ABI = 3
LIBRARY = Path(__file__).parent.parent / "libtmkernels.so"
ISA_VARIABLE = "TMNODE_ISA"
BUILD_ADVICE = "build it with `python setup.py build_ext --inplace` or `pip install .`"

_REASONS = {
    1: "bad argument",
    2: "the workspace is too small",
    3: "an index is no row of the table",
    4: "a token has no place in the cache",
}
_QUESTIONS = ("workspace", "packed_size", "is_canonical")

Kernel = Callable[[ctypes.Structure], int]


class Kernels:
    """The operations of one instruction set, by name: a call gives a status, or an answer.

    ctypes releases the interpreter's lock during a call.
    """

    def __init__(self, library: ctypes.CDLL, isa: str) -> None:
        self.isa = isa
        self._library = library
        self._bound: dict[str, Kernel] = {}

    def __getitem__(self, operation: str) -> Kernel:
        kernel = self._bound.get(operation)
        if kernel is None:
            kernel = self._bound[operation] = self._bind(operation)
        return kernel

    def _bind(self, operation: str) -> Kernel:
        function = self._library[f"tmk_{self.isa}_{operation}"]
        asks = operation.endswith(_QUESTIONS)
        function.restype = ctypes.c_uint64 if asks else ctypes.c_int
        return lambda call: int(function(ctypes.byref(call)))


class Pool:
    """Threads that share the work of operations, the caller counted; closed with `close`.

    Raises KernelsUnavailable when the threads cannot be had. It belongs to the process that
    made it.
    """

    def __init__(self, threads: int, *, path: Path = LIBRARY) -> None:
        self._library = _opened(path)
        self._library.tmk_pool_open.restype = ctypes.c_void_p
        self.address: int | None = self._library.tmk_pool_open(threads)
        if self.address is None:
            raise KernelsUnavailable(f"{threads} threads cannot be had for the CPU kernels")

    def close(self) -> None:
        """End the threads. No operation may use the pool any more."""
        address, self.address = self.address, None
        if address is not None:
            self._library.tmk_pool_close(ctypes.c_void_p(address))


def supported_isas(path: Path = LIBRARY) -> tuple[str, ...]:
    """The instruction sets the library has and this machine runs, best first."""
    return _isas(_opened(path))


def load_kernels(isa: str | None = None, *, path: Path = LIBRARY) -> Kernels:
    """The kernels of `isa`; by default of $TMNODE_ISA, else the best of this machine.

    Raises KernelsUnavailable.
    """
    library = _opened(path)
    isas = _isas(library)
    chosen = isa or os.environ.get(ISA_VARIABLE) or isas[0]
    if chosen not in isas:
        raise KernelsUnavailable(
            f"no kernels for instruction set {chosen!r}: this machine and build have"
            f" {', '.join(isas)} (see ${ISA_VARIABLE})"
        )
    return Kernels(library, chosen)


def succeed(operation: str, status: int) -> None:
    """Raise KernelFailed unless an operation's status says success."""
    if status != 0:
        raise KernelFailed(operation, _REASONS.get(status, f"status {status}"))


def _opened(path: Path) -> ctypes.CDLL:
    if not path.exists():
        raise KernelsUnavailable(
            f"the CPU kernels are not built ({path} is missing): {BUILD_ADVICE}"
        )
    try:
        library = ctypes.CDLL(str(path))
        version = int(library.tmk_abi())
    except (OSError, AttributeError) as error:
        raise KernelsUnavailable(f"{path} cannot be loaded ({error}): {BUILD_ADVICE}") from error
    if version != ABI:
        raise KernelsUnavailable(
            f"{path} has version {version} of the interface, {ABI} is needed: {BUILD_ADVICE}"
        )
    _require_same_layout(library, path)
    return library


def _require_same_layout(library: ctypes.CDLL, path: Path) -> None:
    """A structure that differs in size would be read beyond its end."""
    library.tmk_size.restype = ctypes.c_uint64
    ours = [ctypes.sizeof(structure) for structure in STRUCTURES]
    theirs = [int(library.tmk_size(number)) for number in range(len(ours) + 1)]
    if theirs != [*ours, 0]:
        raise KernelsUnavailable(f"{path} has other structures than this code: {BUILD_ADVICE}")


def _isas(library: ctypes.CDLL) -> tuple[str, ...]:
    library.tmk_isas.restype = ctypes.c_char_p
    return tuple(library.tmk_isas().decode("ascii").split())
