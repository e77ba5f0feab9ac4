"""Loading `gpu/libtmkernels.so` and choosing its instruction set (interface: csrc/tmkernels.h)."""

import ctypes
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from gpu.errors import KernelFailed, KernelsUnavailable

ABI = 1
LIBRARY = Path(__file__).parent.parent / "libtmkernels.so"
ISA_VARIABLE = "TMNODE_ISA"
BUILD_ADVICE = "build it with `python setup.py build_ext --inplace` or `pip install .`"

_REASONS = {1: "bad argument", 2: "the workspace is too small"}
_POINTER = ctypes.c_void_p
_SIZE = ctypes.c_int64


class Product(ctypes.Structure):
    """Mirror of tmk_product."""

    _fields_ = (
        *((name, _POINTER) for name in ("left", "right", "out", "scale", "column", "row")),
        *((name, _SIZE) for name in ("left_stride", "right_stride", "out_stride")),
        *((name, _SIZE) for name in ("rows", "inner", "columns")),
        ("workspace", _POINTER),
        ("workspace_size", ctypes.c_uint64),
    )


class Expansion(ctypes.Structure):
    """Mirror of tmk_expansion."""

    _fields_ = (
        ("key", ctypes.c_char_p),
        ("out", _POINTER),
        ("first", ctypes.c_uint64),
        ("count", ctypes.c_uint64),
        *((name, ctypes.c_uint32) for name in ("stream", "step", "values", "lowest")),
    )


class Kernels(NamedTuple):
    """The operations of one instruction set; product, expand and scale_rows return a status.

    ctypes releases the interpreter's lock during a call.
    """

    isa: str
    product: Callable[..., int]
    product_workspace: Callable[..., int]
    expand: Callable[..., int]
    scale_rows: Callable[..., int]
    is_canonical: Callable[..., int]


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
    prefix = f"tmk_{chosen}_chain241_"
    return Kernels(
        isa=chosen,
        product=_bound(library, prefix + "product", ctypes.POINTER(Product)),
        product_workspace=_bound(
            library, prefix + "product_workspace", ctypes.POINTER(Product), result=ctypes.c_uint64
        ),
        expand=_bound(library, prefix + "expand", ctypes.POINTER(Expansion)),
        scale_rows=_bound(library, prefix + "scale_rows", _POINTER, _POINTER, _SIZE, _SIZE),
        is_canonical=_bound(library, prefix + "is_canonical", _POINTER, ctypes.c_uint64),
    )


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
    return library


def _isas(library: ctypes.CDLL) -> tuple[str, ...]:
    library.tmk_isas.restype = ctypes.c_char_p
    return tuple(library.tmk_isas().decode("ascii").split())


def _bound(
    library: ctypes.CDLL, name: str, *arguments: type, result: type = ctypes.c_int
) -> Callable[..., int]:
    function = library[name]
    function.argtypes = arguments
    function.restype = result
    return function
