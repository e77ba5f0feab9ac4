"""Arithmetic in E with the C++ kernels: `gpu/libtmproofs.so` (interface: csrc/proofs/tmproofs.h).

Products with n x n matrices and key expansion are the CPU backend's own.
"""

import ctypes
import os
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from gpu.cpu import CpuBackend
from gpu.errors import KernelFailed, KernelsUnavailable
from gpu.proofs.chain241.arithmetic import Pair, SumCheck
from gpu.proofs.chain241.specification import DEGREE, Element, Residues, Stream, Table

ABI: Final = 2
LIBRARY: Final = Path(__file__).parents[2] / "libtmproofs.so"

_EXPANSION: Final = 1 << 19  # elements of X_0 held at a time: the second cache of most processors
_BUILD_ADVICE: Final = "build it with `python setup.py build_ext --inplace` or `pip install .`"
_POINTER: Final = ctypes.c_void_p
_SIZE: Final = ctypes.c_int64
_SIGNATURES: Final[dict[str, tuple[type, ...]]] = {
    "multiply": (_POINTER, _POINTER, _POINTER),
    "claim": (_POINTER, _POINTER, _POINTER, _POINTER),
    "equality": (_POINTER, _SIZE, _POINTER),
    "scale": (_POINTER, _SIZE, _POINTER, _POINTER),
    "weigh": (_POINTER, _SIZE, _POINTER, _POINTER),
    "combine": (_POINTER, _POINTER, _POINTER, _POINTER, _SIZE, _POINTER),
    "inner": (_POINTER, _POINTER, _SIZE, _POINTER),
    "evaluate": (_POINTER, _POINTER, _SIZE, _POINTER),
    "message": (_POINTER, _SIZE, _SIZE, _POINTER),
    "bind": (_POINTER, _SIZE, _SIZE, _POINTER, _POINTER, _POINTER),
}


class NativeArithmetic:
    """See Arithmetic. Raises KernelsUnavailable when a library is missing or of another version."""

    def __init__(self, isa: str | None = None, *, path: Path = LIBRARY) -> None:
        library = _opened(path)
        chosen = isa or _isas(library)[0]
        if chosen not in _isas(library):
            raise KernelsUnavailable(f"no proof kernels for instruction set {chosen!r}")
        self.name = f"native/{chosen}"
        self._backend = CpuBackend()
        self._call = {
            name: _bound(library, f"tmk_{chosen}_proofs_{name}", *arguments)
            for name, arguments in _SIGNATURES.items()
        }

    def multiplied(self, a: Element, b: Element) -> Element:
        """One kernel."""
        return self._element("multiply", _checked(a), _checked(b))

    def next_claim(self, claim: Element, message: bytes, point: Element) -> Element:
        """One kernel."""
        operands = _checked(claim), _checked(message, 2 * DEGREE), _checked(point)
        return self._element("claim", *operands)

    def equality(self, point: Sequence[Element]) -> Table:
        """One kernel, which doubles the table in place."""
        coordinates = b"".join(map(_checked, point))
        table = _table(1 << len(point))
        self._call["equality"](coordinates, len(point), table.ctypes.data)
        return table

    def scaled(self, table: Table, factor: Element) -> Table:
        """One kernel."""
        out = _table(len(table))
        self._call["scale"](_address(table), len(table), _checked(factor), out.ctypes.data)
        return out

    def weighted(self, table: Table, weights: Residues) -> Table:
        """One kernel."""
        out = _table(len(table))
        factors = _vector_address(weights, len(table))
        self._call["weigh"](_address(table), len(table), factors, out.ctypes.data)
        return out

    def combined(self, first: Table, a: Element, second: Table, b: Element) -> Table:
        """One kernel."""
        rows, out = len(first), _table(len(first))
        operands = (_address(first), _checked(a), _address(second, rows), _checked(b))
        self._call["combine"](*operands, rows, out.ctypes.data)
        return out

    def inner(self, left: Table, right: Table) -> Element:
        """One kernel."""
        return self._element("inner", _address(left), _address(right, len(left)), len(left))

    def evaluated(self, vector: Residues, table: Table) -> Element:
        """One kernel."""
        rows = len(table)
        return self._element("evaluate", _vector_address(vector, rows), _address(table), rows)

    def image(self, matrix: Residues, table: Table) -> Table:
        """The backend's product."""
        backend, (rows, inner) = self._backend, matrix.shape
        left = backend.upload(_bytes_of(matrix), rows, inner)
        right = backend.upload(_bytes_of(table), inner, DEGREE)
        out = backend.empty(rows, DEGREE)
        backend.product(left, right, out)
        return np.frombuffer(backend.download(out), np.uint8).reshape(rows, DEGREE)

    def start_image(self, key: bytes, table: Table) -> Table:
        """The backend's expansion and product, in one piece of memory that stays in the cache."""
        backend, size = self._backend, len(table)
        rows = min(size, max(1, _EXPANSION // size))
        right = backend.upload(_bytes_of(table), size, DEGREE)
        part, image = backend.empty(rows, size), backend.empty(size, DEGREE)
        for first in range(0, size, rows):
            few, last = slice(0, min(rows, size - first)), min(first + rows, size)
            some = backend.tile(part, few, slice(0, size))
            backend.expand(some, key, Stream.START, 0, first=first * size)
            backend.product(some, right, backend.tile(image, slice(first, last), slice(0, DEGREE)))
        return np.frombuffer(backend.download(image), np.uint8).reshape(size, DEGREE)

    def sum_check(self, pairs: Sequence[Pair]) -> SumCheck:
        """One kernel for the first message, then one a round."""
        return _NativeSumCheck(self._call, pairs)

    def expanded(
        self,
        key: bytes,
        stream: Stream,
        step: int,
        count: int,
        *,
        first: int = 0,
        nonzero: bool = False,
    ) -> Residues:
        """The backend's expansion."""
        out = self._backend.empty(1, count)
        self._backend.expand(out, key, stream, step, first=first, nonzero=nonzero)
        return np.frombuffer(self._backend.download(out), np.uint8)

    def _element(self, operation: str, *operands: bytes | int, size: int = DEGREE) -> bytes:
        out = ctypes.create_string_buffer(size)
        self._call[operation](*operands, out)
        return out.raw


class _NativeSumCheck:
    """See SumCheck. The first bind fills tables of our own, which then shrink in their places."""

    def __init__(self, call: dict[str, Callable[..., None]], pairs: Sequence[Pair]) -> None:
        given = list(chain.from_iterable(pairs))
        self.rows = len(given[0])
        self._own = [_table(self.rows // 2) for _ in given]
        self._own_places = _places([table.ctypes.data for table in self._own])
        self._tables, self._places = given, _places([_address(x, self.rows) for x in given])
        self._bind, self._message = call["bind"], ctypes.create_string_buffer(2 * DEGREE)
        call["message"](self._places, len(pairs), self.rows, self._message)

    def message(self) -> bytes:
        """Computed when the bit before was bound."""
        return self._message.raw

    def bind(self, challenge: Element) -> None:
        """One kernel."""
        operands = len(self._tables) // 2, self.rows, _checked(challenge)
        self._bind(self._places, *operands, self._own_places, self._message)
        self._tables, self._places, self.rows = self._own, self._own_places, self.rows // 2

    def tables(self) -> list[Pair]:
        """Copies."""
        left = [table[: self.rows].copy() for table in self._tables]
        return list(zip(left[::2], left[1::2], strict=True))


def available_isas(path: Path = LIBRARY) -> tuple[str, ...]:
    """The instruction sets of the proof kernels here, best first. Raises KernelsUnavailable."""
    return _isas(_opened(path))


def _table(rows: int) -> Table:
    return np.empty((rows, DEGREE), np.uint8)


def _places(addresses: Sequence[int]) -> "ctypes.Array[ctypes.c_void_p]":
    return (ctypes.c_void_p * len(addresses))(*addresses)


def _bytes_of(array: npt.NDArray[np.uint8]) -> memoryview:
    return np.ascontiguousarray(array).data.cast("B")


def _checked(operand: bytes, size: int = DEGREE) -> bytes:
    if len(operand) != size:
        raise KernelFailed("proofs", f"an operand of {size} bytes has {len(operand)}")
    return operand


def _address(table: Table, rows: int | None = None) -> int:
    """Of a whole table with this many rows, one at least."""
    if table.shape != (rows or len(table), DEGREE) or not len(table):
        raise KernelFailed("proofs", f"a table has the shape {table.shape}")
    return _whole(table)


def _vector_address(vector: Residues, count: int) -> int:
    if vector.shape != (count,):
        raise KernelFailed("proofs", f"a vector has the shape {vector.shape}, not ({count},)")
    return _whole(vector)


def _whole(array: npt.NDArray[np.uint8]) -> int:
    if array.dtype != np.uint8 or not array.flags.c_contiguous:
        raise KernelFailed("proofs", "an operand is not one run of bytes")
    return array.ctypes.data


def _opened(path: Path) -> ctypes.CDLL:
    if not path.exists():
        raise KernelsUnavailable(f"the proof kernels are not built ({path} is missing)")
    try:
        library = ctypes.CDLL(os.fspath(path))
        version = int(library.tmk_proofs_abi())
    except (OSError, AttributeError) as error:
        raise KernelsUnavailable(f"{path} cannot be loaded ({error}): {_BUILD_ADVICE}") from error
    if version != ABI:
        raise KernelsUnavailable(f"{path} has version {version} of its interface, not {ABI}")
    return library


def _isas(library: ctypes.CDLL) -> tuple[str, ...]:
    library.tmk_proofs_isas.restype = ctypes.c_char_p
    return tuple(library.tmk_proofs_isas().decode("ascii").split())


def _bound(library: ctypes.CDLL, name: str, *arguments: type) -> Callable[..., None]:
    function = library[name]
    function.argtypes = arguments
    function.restype = None
    return function
