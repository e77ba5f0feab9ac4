"""The device's memory: freed blocks are handed out again, because allocation stops a GPU."""

import threading
import weakref
from collections import defaultdict

from gpu.cuda.driver import Driver
from gpu.errors import DeviceMemoryExhausted


class Block:
    """Memory of a device, given back when nothing refers to it any more."""

    __slots__ = ("__weakref__", "address", "size")

    def __init__(self, address: int, size: int) -> None:
        self.address = address
        self.size = size


class DevicePool:
    """Blocks of one device by size, rounded up to the driver's granularity.

    A block may be handed out while launches that use it are under way: what uses it next comes
    after them. Jobs repeat their shapes, so blocks fit exactly; when memory runs out, all that are
    free go back to the driver first.
    """

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._free: defaultdict[int, list[int]] = defaultdict(list)
        self._lock = threading.RLock()  # a collection of garbage may return a block at any time

    def allocate(self, size: int) -> Block:
        """A block of at least `size` bytes. Raises DeviceMemoryExhausted."""
        unit = self._driver.granularity
        size = max(1, -(-size // unit)) * unit
        with self._lock:
            kept = self._free[size]
            address = kept.pop() if kept else self._fresh(size)
        block = Block(address, size)
        weakref.finalize(block, self._give_back, address, size).atexit = False
        return block

    def trim(self) -> None:
        """Give everything that is free back to the driver."""
        with self._lock:
            for size, addresses in self._free.items():
                for address in addresses:
                    self._driver.release(address, size)
            self._free.clear()

    def _fresh(self, size: int) -> int:
        try:
            return self._driver.allocate(size)
        except DeviceMemoryExhausted:
            self.trim()
            return self._driver.allocate(size)

    def _give_back(self, address: int, size: int) -> None:
        with self._lock:
            self._free[size].append(address)
