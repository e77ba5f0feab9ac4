import numpy as np
import pytest

from gpu.cpu.host import as_tensor
from gpu.errors import KernelFailed, OperandMismatch

RAGGED = (*range(1, 41), 63, 64, 65, 100, 127, 130)


def matrix(random, rows, columns, *, largest=240):
    return random.integers(0, largest + 1, (rows, columns), dtype=np.uint8)


def multiplied(backend, left, right, **options):
    out = np.empty((left.shape[0], right.shape[1]), np.uint8)
    vectors = {name: as_tensor(vector) for name, vector in options.items()}
    backend.product(left, right, out, **vectors)
    return out


def exact(left, right, scale=None, column=None, row=None):
    """The same in 64-bit integers."""
    factors = 1 if scale is None else scale.astype(np.int64)
    result = left.astype(np.int64) * factors @ right.astype(np.int64)
    if column is not None:
        result += np.outer(column.astype(np.int64), row.astype(np.int64))
    return (result % 241).astype(np.uint8)


@pytest.mark.parametrize("size", RAGGED)
def test_square_matrices_of_every_raggedness(backend, size):
    random = np.random.default_rng(size)
    x = matrix(random, size, size)
    scale, column, row = (matrix(random, 1, size) for _ in range(3))
    result = multiplied(backend, x, x, scale=scale, column=column, row=row)
    assert np.array_equal(result, exact(x, x, scale, column, row))


@pytest.mark.parametrize(
    ("rows", "inner", "columns"),
    [(1, 1, 1), (1, 300, 16), (7, 1, 33), (385, 17, 5), (5, 257, 513), (391, 530, 47), (2, 3, 600)],
)
def test_shapes_around_the_block_sizes(backend, rows, inner, columns):
    random = np.random.default_rng(rows * inner * columns)
    left, right = matrix(random, rows, inner), matrix(random, inner, columns)
    vectors = {
        "scale": matrix(random, 1, inner),
        "column": matrix(random, 1, rows),
        "row": matrix(random, 1, columns),
    }
    assert np.array_equal(multiplied(backend, left, right), exact(left, right))
    result = multiplied(backend, left, right, **vectors)
    assert np.array_equal(result, exact(left, right, *vectors.values()))


@pytest.mark.parametrize("rows", [1, 15, 16, 17, 32])
@pytest.mark.parametrize("columns", [17, 33, 63, 64, 65, 130, 200])
def test_few_rows_times_many_columns(backend, rows, columns):
    """Around the runs and strips of products that are wide; next to the matrix lies another."""
    random = np.random.default_rng(rows * columns)
    for inner in (1, 2, 3, 31, 32, 33, 64, 65, 257):
        left = matrix(random, rows, inner, largest=255)
        around = matrix(random, inner, columns + 70, largest=255)
        right = around[:, 3 : 3 + columns]
        assert np.array_equal(multiplied(backend, left, right), exact(left, right))


@pytest.mark.parametrize("rows", [1, 5, 6, 7, 13, 14, 15, 29])
@pytest.mark.parametrize("columns", [1, 7, 8, 9, 15, 16, 17, 32])
def test_rows_times_few_columns(backend, rows, columns):
    """Around the tiles, runs and vectors of products of one panel."""
    random = np.random.default_rng(rows * columns)
    for inner in (1, 511, 513, 1023, 1025):
        left = matrix(random, rows, inner, largest=255)
        right = matrix(random, inner, columns, largest=255)
        assert np.array_equal(multiplied(backend, left, right), exact(left, right))


@pytest.mark.parametrize("value", [120, 121, 240])
@pytest.mark.parametrize("other", [120, 121, 240])
def test_largest_sums_of_wide_products(backend, value, other):
    left, right = np.full((16, 65536), value, np.uint8), np.full((65536, 33), other, np.uint8)
    assert set(multiplied(backend, left, right).flat) == {value * other * 65536 % 241}


@pytest.mark.parametrize("value", [120, 121])
@pytest.mark.parametrize("other", [120, 121])
def test_largest_sums_do_not_overflow(backend, value, other):
    """120 is 120 and 121 is -120: |sum| = 120 · 120 · 65,536 + 240 · 240, the limit itself."""
    left, right = np.full((7, 65536), value, np.uint8), np.full((65536, 17), other, np.uint8)
    column, row = np.full((1, 7), 240, np.uint8), np.full((1, 17), 240, np.uint8)
    result = multiplied(backend, left, right, column=column, row=row)
    assert set(result.flat) == {(value * other * 65536 + 240 * 240) % 241}


def test_every_residue_times_every_residue(backend):
    """One sum each, through every operand: the reduction after scaling, centring, and u v^T."""
    every = np.arange(241, dtype=np.uint8)
    table = np.outer(every.astype(np.int64), every) % 241
    one = np.ones((1, 1), np.uint8)
    assert np.array_equal(multiplied(backend, every[:, None], every[None]), table)
    for factor in range(241):
        scale = np.full((1, 1), factor, np.uint8)
        result = multiplied(backend, every[:, None], one, scale=scale)
        assert np.array_equal(result[:, 0], table[factor])
    zero = np.zeros((241, 1), np.uint8)
    result = multiplied(backend, zero, zero.T, column=every[None], row=every[None])
    assert np.array_equal(result, table)


def test_bytes_over_240_count_mod_241(backend):
    random = np.random.default_rng(255)
    left, right = matrix(random, 20, 30, largest=255), matrix(random, 30, 40, largest=255)
    vectors = [matrix(random, 1, size, largest=255) for size in (30, 20, 40)]
    names = ("scale", "column", "row")
    assert np.array_equal(multiplied(backend, left, right), exact(left, right))
    result = multiplied(backend, left, right, **dict(zip(names, vectors, strict=True)))
    assert np.array_equal(result, exact(left, right, *vectors))


def test_tiles_read_and_write_inside_larger_matrices_only(backend):
    random = np.random.default_rng(5)
    left, right = matrix(random, 30, 50), matrix(random, 50, 60)
    out = np.full((40, 70), 255, np.uint8)
    backend.product(left[3:29], right[:, 7:50], out[5:31, 11:54])
    assert np.array_equal(out[5:31, 11:54], exact(left[3:29], right[:, 7:50]))
    out[5:31, 11:54] = 255
    assert (out == 255).all()


def test_vector_times_matrix(backend, reference):
    random = np.random.default_rng(6)
    vector, right = matrix(random, 1, 99), matrix(random, 99, 16)
    assert multiplied(backend, vector, right).tolist() == reference.product(
        vector.tolist(), right.tolist()
    )


def test_scale_rows(backend):
    random = np.random.default_rng(7)
    array, factors = matrix(random, 45, 16), matrix(random, 1, 45)
    expected = array.astype(np.int64) * factors.T % 241
    backend.scale_rows(as_tensor(array), as_tensor(factors))
    assert np.array_equal(array, expected)


def test_canonical_is_at_most_240(backend):
    for size in (1, 31, 32, 33, 1000):
        data = np.full((1, size), 240, np.uint8)
        assert backend.is_canonical(as_tensor(data))
        for place in {0, size // 2, size - 1}:
            for wrong in (241, 255):
                data[0, place] = wrong
                assert not backend.is_canonical(as_tensor(data))
            data[0, place] = 0
    wrong = np.zeros((4, 8), np.uint8)
    wrong[:, 2:5] = 241
    assert not backend.is_canonical(as_tensor(wrong[:, 2:5]))
    assert backend.is_canonical(as_tensor(wrong[:, 5:]))


def test_equal_compares_shapes_and_bytes(backend):
    x = as_tensor(np.arange(12, dtype=np.uint8).reshape(3, 4))
    same = backend.upload(bytes(range(12)), 3, 4)
    assert backend.equal(x, same)
    assert not backend.equal(x, x.reshape(4, 3))
    assert not backend.equal(x, backend.upload(bytes(range(1, 13)), 3, 4))
    part = backend.tile(x, slice(1, 3), slice(1, 3))
    assert backend.equal(part, backend.upload(bytes([5, 6, 9, 10]), 2, 2))


def test_bytes_survive_upload_and_download(backend):
    data = bytes(range(240))
    assert bytes(backend.download(backend.upload(data, 12, 20))) == data
    with pytest.raises(KernelFailed, match=r"240 bytes for u8\[12, 21\]"):
        backend.upload(data, 12, 21)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"left": (4, 9)}, r"sizes differ \(left u8\[4, 9\], right u8\[5, 6\], out u8\[4, 6\]\)"),
        ({"right": (6, 6)}, "sizes differ"),
        ({"out": (4, 7)}, "sizes differ"),
        ({"scale": (5, 1)}, r"scale is not \[1, 5\]"),
        ({"column": (1, 4)}, "come together"),
        ({"column": (1, 4), "row": (1, 5)}, r"row is not \[1, 6\]"),
    ],
)
def test_refuses_operands_that_do_not_fit(backend, change, match):
    shapes = {"left": (4, 5), "right": (5, 6), "out": (4, 6)} | change
    operands = {name: backend.empty(*shape) for name, shape in shapes.items()}
    with pytest.raises(OperandMismatch, match=match):
        backend.product(**operands)


@pytest.mark.parametrize(
    ("array", "match"),
    [
        (np.zeros((4, 5), np.int16), "no tensor of int16"),
        (np.zeros((5, 4), np.uint8).T, "gaps within its rows"),
        (np.zeros((4, 10), np.uint8)[:, ::2], "gaps within its rows"),
        (np.zeros((4, 0), np.uint8), "no tensor of uint8"),
        (np.zeros((4, 5), np.int8), "matrices of bytes"),
    ],
)
def test_refuses_arrays_that_are_no_matrices_of_bytes(backend, array, match):
    with pytest.raises(OperandMismatch, match=match):
        backend.product(array, np.zeros((5, 6), np.uint8), np.zeros((4, 6), np.uint8))


def test_refuses_to_overwrite_an_operand(backend):
    x = np.zeros((8, 8), np.uint8)
    with pytest.raises(KernelFailed, match="of its own"):
        backend.product(x, np.zeros((8, 8), np.uint8), x)
    with pytest.raises(KernelFailed, match="of its own"):
        backend.scale_rows(as_tensor(x), as_tensor(x[:1]))
    with pytest.raises(KernelFailed, match="writable"):
        backend.product(x, x, backend.upload(bytes(64), 8, 8))


def test_refuses_sizes_over_the_limit(backend):
    vector = np.zeros((1, 65537), np.uint8)
    with pytest.raises(KernelFailed, match="bad argument"):
        backend.product(vector, np.zeros((65537, 1), np.uint8), backend.empty(1, 1))
