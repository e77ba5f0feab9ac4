"""What is asked of CUDA: memory, copies and launches of one device. `gpu.cuda.pycuda` gives it."""

from typing import Protocol

Grid = tuple[int, int, int]

# The most blocks in each direction of a launch.
MOST_BLOCKS: Grid = (2**31 - 1, 65_535, 65_535)


class Driver(Protocol):
    """One device. Launches and copies happen in the order of the calls, launches while the caller
    goes on. Every method may be called from any thread.

    Raises KernelFailed when the device reports an error; nothing can be computed with it after.
    """

    name: str
    architecture: int  # compute capability times ten, e.g. 90
    granularity: int  # bytes that sizes of memory are rounded up to

    def allocate(self, size: int) -> int:
        """The address of fresh memory, aligned to 16 bytes. Raises DeviceMemoryExhausted."""

    def release(self, address: int, size: int) -> None:
        """Give memory of `allocate` back; launches that use it may still be under way."""

    def load(self, image: bytes) -> object:
        """A module made of a cubin."""

    def launch(
        self, module: object, kernel: str, grid: Grid, threads: int, arguments: bytes
    ) -> None:
        """Start a kernel of a module whose only argument is a structure, these bytes."""

    def clear(self, address: int, size: int) -> None:
        """Fill memory with zeros."""

    def upload(self, address: int, data: memoryview) -> None:
        """Copy bytes to the device; they may change as soon as this returns."""

    def download(self, address: int, size: int) -> memoryview:
        """The bytes of the device's memory, after all that was launched before."""
