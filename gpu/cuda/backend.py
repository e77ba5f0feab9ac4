"""The Backend of a CUDA device: memory is a pool's, operations are launches of kernels."""

import ctypes
import math
import threading
from collections.abc import Mapping

from gpu.cuda.calls import Bytes, Copy
from gpu.cuda.driver import MOST_BLOCKS, Driver, Grid
from gpu.cuda.launches import OPERATIONS, QUESTIONS
from gpu.cuda.launches.stage import THREADS, divided_up
from gpu.cuda.memory import Block, DevicePool
from gpu.errors import KernelFailed, OperandMismatch
from gpu.ops import Operations
from gpu.tensors import DType, Tensor

# About 100 ms of a device with 10^13 multiply-adds of bytes a second; newer ones are faster.
_LAUNCH_MACS = 1_000_000_000_000
_WORD_BYTES = 4


class CudaBackend(Operations):
    """A device and the cubins of its architecture, by the names of their sources.

    Operations return when their kernels are started; `download`, `equal` and whatever gives an
    answer wait for them.
    """

    def __init__(
        self, driver: Driver, images: Mapping[str, bytes], *, launch_macs: int = _LAUNCH_MACS
    ) -> None:
        self._driver = driver
        self._images = images
        self._modules: dict[str, object] = {}
        self._loading = threading.Lock()
        self._pool = DevicePool(driver)
        self.name = f"cuda/sm_{driver.architecture}"
        self.launch_macs = launch_macs

    def empty(self, *shape: int, dtype: DType = DType.U8) -> Tensor:
        """A new tensor of unspecified content. Raises OperandMismatch, DeviceMemoryExhausted."""
        if not shape or min(shape) < 1:
            raise OperandMismatch("empty", f"no tensor has the shape {list(shape)}")
        block = self._pool.allocate(math.prod(shape) * dtype.item_bytes)
        return Tensor(dtype, shape, block.address, block)

    def upload(
        self, data: bytes | bytearray | memoryview, *shape: int, dtype: DType = DType.U8
    ) -> Tensor:
        """A copy of the bytes in the device's memory, to be read only."""
        view = memoryview(data).cast("B")
        if not shape or min(shape) < 1 or len(view) != math.prod(shape) * dtype.item_bytes:
            raise OperandMismatch("upload", f"{len(view)} bytes for {dtype}{list(shape)}")
        tensor = self.empty(*shape, dtype=dtype)
        self._driver.upload(tensor.address, view)
        tensor.writable = False
        return tensor

    def download(self, tensor: Tensor) -> memoryview:
        """The elements as bytes, row-major."""
        size = tensor.size * tensor.dtype.item_bytes
        if tensor.whole:
            return self._driver.download(tensor.address, size)
        stage = _Stage(self, "download")
        together, item_bytes, rows = stage.scratch(size), tensor.dtype.item_bytes, tensor.shape[0]
        call = Copy(
            *(tensor.address, together),
            *(rows, tensor.shape[1] * item_bytes, tensor.stride * item_bytes),
        )
        stage.start("residues", "copy_rows", divided_up(size, THREADS), THREADS, call)
        return self._driver.download(together, size)

    def tile(self, tensor: Tensor, rows: slice, columns: slice) -> Tensor:
        """A part of a matrix, in the same memory."""
        return tensor.tile(rows, columns)

    def equal(self, left: Tensor, right: Tensor) -> bool:
        """Whether types, shapes and bytes are the same."""
        if left.dtype is not right.dtype or left.shape != right.shape:
            return False
        stage, item_bytes = _Stage(self, "equal"), left.dtype.item_bytes
        found, width = stage.flag(), left.shape[-1]
        call = Bytes(
            *(left.address, right.address, found.address),
            *(left.size // width, width * item_bytes),
            *(left.stride * item_bytes, right.stride * item_bytes),
        )
        blocks = divided_up(left.size * item_bytes, THREADS)
        stage.start("residues", "bytes_differ", blocks, THREADS, call)
        return not found.is_set()

    def launch(self, operation: str, call: ctypes.Structure) -> None:
        """Start the kernels of an operation. Raises KernelFailed."""
        if operation not in OPERATIONS:
            raise KernelFailed(operation, f"{self.name} has no kernel for it")
        OPERATIONS[operation](_Stage(self, operation), call)

    def measure(self, question: str, call: ctypes.Structure) -> int:
        """What a call is asked. Raises KernelFailed."""
        if question not in QUESTIONS:
            raise KernelFailed(question, f"{self.name} has no kernel for it")
        return QUESTIONS[question](_Stage(self, question), call)

    def _module(self, source: str) -> object:
        with self._loading:
            if source not in self._modules:
                self._modules[source] = self._driver.load(self._images[source])
            return self._modules[source]


class _Flag:
    """A word of the device's memory that a kernel may set."""

    def __init__(self, driver: Driver, address: int) -> None:
        self._driver = driver
        self.address = address

    def is_set(self) -> bool:
        """Waits for what was started, and says whether any of it set the word."""
        return any(self._driver.download(self.address, _WORD_BYTES))


class _Stage:
    """One operation; its scratch memory is kept as long as it is."""

    def __init__(self, backend: CudaBackend, operation: str) -> None:
        self._backend = backend
        self._operation = operation
        self._scratch: list[Block] = []

    def start(
        self, source: str, kernel: str, blocks: int | Grid, threads: int, call: ctypes.Structure
    ) -> None:
        """See gpu.cuda.launches.stage.Stage."""
        grid = blocks if isinstance(blocks, tuple) else (blocks, 1, 1)
        if any(wanted > most for wanted, most in zip(grid, MOST_BLOCKS, strict=True)):
            raise KernelFailed(self._operation, f"{grid} blocks are more than a launch may have")
        module = self._backend._module(source)
        self._backend._driver.launch(module, kernel, grid, threads, bytes(call))

    def scratch(self, size: int) -> int:
        """The address of memory that lasts until the operation ends."""
        self._scratch.append(self._backend._pool.allocate(size))
        return self._scratch[-1].address

    def flag(self) -> _Flag:
        """A word that is 0."""
        flag = _Flag(self._backend._driver, self.scratch(_WORD_BYTES))
        self._backend._driver.clear(flag.address, _WORD_BYTES)
        return flag
