"""The fibers that stand in for a GPU find the mistakes they are there for."""

import ctypes
from pathlib import Path

import numpy as np
import pytest

from gpu.errors import KernelFailed

FAULTY = Path(__file__).parent / "faulty.cu"
THREADS = 64
SHIFTED = [(thread + 1) % THREADS for thread in range(THREADS)]


class Call(ctypes.Structure):
    _fields_ = (("source", ctypes.c_void_p), ("out", ctypes.c_void_p))


@pytest.fixture(scope="module")
def run(shim, tmp_path_factory):
    """A function that runs a kernel in either order and gives what it wrote."""
    library = tmp_path_factory.mktemp("faulty") / "libfaulty.so"
    shim.link(library, [FAULTY], shim.flags_for(800))

    def ran(kernel, **options):
        driver = shim.ShimDriver(library, **options)
        source, out = driver.allocate(4 * THREADS), driver.allocate(4 * THREADS)
        driver.upload(source, memoryview(np.arange(100, 100 + THREADS, dtype=np.uint32)).cast("B"))
        driver.launch(None, kernel, (1, 1, 1), THREADS, bytes(Call(source, out)))
        return np.frombuffer(driver.download(out, 4 * THREADS), np.uint32).tolist()

    return ran


def test_a_right_kernel_is_right_in_either_order(run):
    assert run("right") == run("right", reverse=True) == SHIFTED


def test_a_missing_barrier_shows(run):
    forward, reverse = run("without_barrier"), run("without_barrier", reverse=True)
    assert forward != SHIFTED
    assert forward != reverse


@pytest.mark.parametrize(
    "kernel", ["barrier_for_some", "exchange_for_some", "different_instructions"]
)
def test_threads_that_wait_for_different_things(run, kernel):
    for reverse in (False, True):
        with pytest.raises(KernelFailed, match=f"{kernel}: its threads wait for different things"):
            run(kernel, reverse=reverse)


@pytest.mark.parametrize("kernel", ["writes_beyond", "reads_before"])
def test_memory_of_others(run, kernel):
    with pytest.raises(KernelFailed, match=f"{kernel}: it touched memory that is not its own"):
        run(kernel)
    assert run("right") == SHIFTED


def test_shared_memory_starts_as_rubbish(run, shim):
    for rubbish in (shim.NAN_BYTES, shim.LARGE_BYTES):
        result = run("reads_what_was_not_written", rubbish=rubbish)
        assert result == [rubbish * 0x01010101] + [0] * (THREADS - 1)


def test_copies_come_as_late_as_they_may(run, shim):
    assert run("in_time")[:4] == [100, 101, 102, 103]
    assert set(run("early")) == {shim.NAN_BYTES * 0x01010101}


def test_copies_are_aligned(run):
    with pytest.raises(KernelFailed, match="a copy to a misaligned address"):
        run("misaligned_copy")
