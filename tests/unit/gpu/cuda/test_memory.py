import gc

import pytest

from gpu.cuda.memory import DevicePool
from gpu.errors import DeviceMemoryExhausted


class CountingDriver:
    """Memory without memory: addresses, and what is held."""

    granularity = 256

    def __init__(self, capacity=10_000):
        self.capacity = capacity
        self.held = {}
        self.allocations = 0

    def allocate(self, size):
        if sum(self.held.values()) + size > self.capacity:
            raise DeviceMemoryExhausted(f"{size} bytes")
        self.allocations += 1
        address = self.allocations * 1_000_000
        self.held[address] = size
        return address

    def release(self, address, size):
        assert self.held.pop(address) == size


def test_a_freed_block_is_handed_out_again():
    driver = CountingDriver()
    pool = DevicePool(driver)
    block = pool.allocate(300)
    address = block.address
    assert driver.held == {address: 512}
    del block
    gc.collect()
    again = pool.allocate(512)
    assert (again.address, driver.allocations) == (address, 1)
    assert pool.allocate(512).address != address


def test_blocks_of_other_sizes_make_room():
    driver = CountingDriver(capacity=1024)
    pool = DevicePool(driver)
    kept, freed = pool.allocate(256), pool.allocate(512)
    del freed
    gc.collect()
    large = pool.allocate(768)
    assert driver.held == {kept.address: 256, large.address: 768}
    with pytest.raises(DeviceMemoryExhausted):
        pool.allocate(256)
    assert issubclass(DeviceMemoryExhausted, MemoryError)


def test_trim_gives_back_what_is_free_only():
    driver = CountingDriver()
    pool = DevicePool(driver)
    kept = pool.allocate(1)
    pool.allocate(1000)
    gc.collect()
    pool.trim()
    assert driver.held == {kept.address: 256}
