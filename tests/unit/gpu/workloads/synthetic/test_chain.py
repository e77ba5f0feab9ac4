import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu.cpu import CpuBackend
from gpu.workloads.synthetic.chain import advance, first_iterate, step_inputs, tiles

KEY = bytes(range(32))


def second_iterate(backend, size, **options):
    following = backend.empty(size, size)
    inputs = step_inputs(backend, KEY, size, 0)
    advance(backend, first_iterate(backend, KEY, size), following, inputs, size, **options)
    return bytes(backend.download(following))


@pytest.mark.parametrize("size", [*range(1, 41), 63, 64, 65, 100, 127, 130])
def test_chain_of_every_raggedness(backend, reference, size):
    assert second_iterate(backend, size) == reference.chain(KEY, size, 1)[1]


def test_tiles_do_not_show_in_the_result():
    whole = second_iterate(CpuBackend(), 500)
    parts = []
    assert second_iterate(CpuBackend(launch_macs=1), 500, tick=parts.append) == whole
    assert len(parts) == 6 * 8  # 96 x 64
    assert parts == sorted(parts)
    assert parts[-1] == 1.0


def test_first_iterate_in_parts_tells_how_far_it_is():
    backend, parts = CpuBackend(), []
    start = first_iterate(backend, KEY, 1500, parts.append)
    whole = backend.empty(1500, 1500)
    backend.expand(whole, KEY, 0, 0)
    assert backend.equal(start, whole)
    assert parts == sorted(parts)
    assert len(parts) == 3
    assert parts[-1] == 1.0


@given(st.integers(1, 3000), st.integers(1, 10**10))
def test_tiles_cover_every_entry_once(size, launch_macs):
    count = np.zeros((size // 8 + 1, size // 8 + 1), np.int8)  # entries 0, 8, 16, …
    for rows, columns in tiles(size, launch_macs):
        assert 0 <= rows.start < rows.stop <= size
        assert 0 <= columns.start < columns.stop <= size
        count[
            -(-rows.start // 8) : -(-rows.stop // 8), -(-columns.start // 8) : -(-columns.stop // 8)
        ] += 1
    entries = -(-size // 8)
    assert (count[:entries, :entries] == 1).all()


@given(st.integers(1, 65_536), st.integers(10**8, 10**11))
def test_no_tile_takes_much_longer_than_asked(size, launch_macs):
    rows, columns = next(iter(tiles(size, launch_macs)))
    macs = (rows.stop - rows.start) * (columns.stop - columns.start) * size
    assert macs <= max(launch_macs, 96 * 64 * size)


def test_tiles_are_as_large_as_the_kernels_block_by():
    assert [*tiles(1024, 5 * 10**9)] == [(slice(0, 1024), slice(0, 1024))]
    first, second, *_ = tiles(4096, 5 * 10**9)
    assert first == (slice(0, 384), slice(0, 3072))
    assert second == (slice(0, 384), slice(3072, 4096))
