"""CUDA's driver through PyCUDA, which is imported when a device is asked for and not before.

One stream computes, another copies, each waiting for the other where it has to; copies go through
two pieces of pinned memory, so that one is filled or emptied while the other is on its way.
"""

import ctypes
import importlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from gpu.cuda.compiler import architecture_for
from gpu.cuda.driver import Grid
from gpu.errors import DeviceMemoryExhausted, DeviceUnavailable, KernelFailed

_PIECE_BYTES = 8 * 1024 * 1024

_contexts: dict[int, Any] = {}
_opening = threading.Lock()


def imported() -> Any:
    """The module `pycuda.driver`, started. Raises DeviceUnavailable with what is missing."""
    try:
        cuda = importlib.import_module("pycuda.driver")
    except (ImportError, OSError) as error:
        remedy = "install the NVIDIA driver, and PyCUDA (docs/operations.md, GPU)"
        raise DeviceUnavailable(f"PyCUDA cannot be used ({error}); {remedy}") from error
    try:
        cuda.init()
    except cuda.Error as error:
        raise DeviceUnavailable(f"CUDA cannot be used: {error}") from error
    return cuda


def _context_of(device: Any, number: int) -> Any:
    """The primary context of a device, the same in the whole process and never given back.

    PyCUDA would detach it when its last user is gone, which is wrong for a primary context; the
    process's end gives everything back.
    """
    with _opening:
        if number not in _contexts:
            _contexts[number] = device.retain_primary_context()
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(_contexts[number]))
        return _contexts[number]


class PyCudaDriver:
    """A device by its number. Raises DeviceUnavailable.

    Its context is current in a thread only while one of the methods runs there.
    """

    granularity = 512

    def __init__(self, number: int = 0) -> None:
        self._cuda = imported()
        count = self._cuda.Device.count()
        if not 0 <= number < count:
            raise DeviceUnavailable(f"there is no GPU {number}: CUDA sees {count}")
        device = self._cuda.Device(number)
        self.name: str = device.name()
        self.architecture = architecture_for(*device.compute_capability())
        self._lock = threading.RLock()
        self._context = _context_of(device, number)
        self._memory: dict[int, Any] = {}
        self._functions: dict[tuple[int, str], Any] = {}
        with self._current("open"):
            self._compute, self._copies = self._cuda.Stream(), self._cuda.Stream()
            self._pieces = tuple(_Piece(self._cuda) for _ in range(2))

    def allocate(self, size: int) -> int:
        """See Driver."""
        with self._current("allocate"):
            memory = self._cuda.mem_alloc(size)
            self._memory[int(memory)] = memory
            return int(memory)

    def release(self, address: int, _size: int) -> None:
        """See Driver; waits for what is under way."""
        with self._current("release"):
            self._memory.pop(address).free()

    def load(self, image: bytes) -> object:
        """See Driver."""
        with self._current("load"):
            module: object = self._cuda.module_from_buffer(image)
            return module

    def launch(self, module: Any, kernel: str, grid: Grid, threads: int, arguments: bytes) -> None:
        """See Driver."""
        with self._current(kernel):
            function = self._functions.get((id(module), kernel))
            if function is None:
                function = module.get_function(kernel).prepare([f"{len(arguments)}s"])
                self._functions[id(module), kernel] = function
            function.prepared_async_call(grid, (threads, 1, 1), self._compute, arguments)

    def clear(self, address: int, size: int) -> None:
        """See Driver."""
        with self._current("clear"):
            self._cuda.memset_d8_async(address, 0, size, self._compute)

    def upload(self, address: int, data: memoryview) -> None:
        """See Driver. What is launched after waits for the copy, without this thread."""
        source = np.frombuffer(data, np.uint8)
        with self._current("upload"):
            self._wait(self._copies, self._compute)
            for piece, start, stop in self._in_pieces(source.size):
                piece.drain()
                pinned = piece.memory[: stop - start]
                pinned[:] = source[start:stop]
                self._cuda.memcpy_htod_async(address + start, pinned, self._copies)
                piece.started(self._copies)
            self._wait(self._compute, self._copies)

    def download(self, address: int, size: int) -> memoryview:
        """See Driver."""
        target: npt.NDArray[np.uint8] = np.empty(size, np.uint8)
        with self._current("download"):
            self._wait(self._copies, self._compute)
            for piece, start, stop in self._in_pieces(size):
                piece.drain()
                pinned = piece.memory[: stop - start]
                self._cuda.memcpy_dtoh_async(pinned, address + start, self._copies)
                piece.started(self._copies, pinned, target[start:stop])
            for piece in self._pieces:
                piece.drain()
        return target.data

    def _in_pieces(self, size: int) -> Iterator[tuple["_Piece", int, int]]:
        for number, start in enumerate(range(0, size, _PIECE_BYTES)):
            yield self._pieces[number % 2], start, min(start + _PIECE_BYTES, size)

    def _wait(self, stream: Any, other: Any) -> None:
        """What is started on a stream from now on comes after what is on the other one."""
        event = self._cuda.Event(self._cuda.event_flags.DISABLE_TIMING)
        event.record(other)
        stream.wait_for_event(event)

    @contextmanager
    def _current(self, doing: str) -> Iterator[None]:
        """This device's context in this thread, and CUDA's errors as ours."""
        with self._lock:
            self._context.push()
            try:
                yield
            except self._cuda.MemoryError as error:
                raise DeviceMemoryExhausted(f"{self.name}: {error}") from error
            except self._cuda.Error as error:
                raise KernelFailed(doing, f"{self.name}: {error}") from error
            finally:
                self._cuda.Context.pop()


class _Piece:
    """Pinned memory, and what is to be done with it when the copy that uses it has ended."""

    def __init__(self, cuda: Any) -> None:
        self.memory: npt.NDArray[np.uint8] = cuda.pagelocked_empty(_PIECE_BYTES, np.uint8)
        self._ended = cuda.Event(cuda.event_flags.DISABLE_TIMING)
        self._busy = False
        self._move: tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]] | None = None

    def started(
        self,
        stream: Any,
        source: npt.NDArray[np.uint8] | None = None,
        target: npt.NDArray[np.uint8] | None = None,
    ) -> None:
        """A copy is on its way; afterwards `source` goes to `target`."""
        self._ended.record(stream)
        self._busy = True
        self._move = None if source is None or target is None else (source, target)

    def drain(self) -> None:
        """Wait for the copy, and do what is left."""
        if self._busy:
            self._ended.synchronize()
            self._busy = False
        if self._move is not None:
            source, target = self._move
            target[:] = source
            self._move = None
