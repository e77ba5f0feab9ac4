import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu.cpu import CpuBackend
from gpu.errors import KernelFailed, OperandMismatch
from gpu.tensors import DType

SHAPES = [
    *((size, size, size) for size in (1, 2, 5, 6, 7, 15, 16, 17, 31, 33, 64)),
    (1, 300, 16),
    (7, 1, 33),
    (13, 255, 31),
    (14, 256, 32),
    (15, 257, 33),
    (3, 513, 65),
    (197, 70, 18),
    (41, 640, 96),
    (2, 1025, 129),
]


def product(backend, arrays, left, right, **options):
    out = backend.matmul(arrays.put(backend, left), arrays.put(backend, right), **options)
    return arrays.get(backend, out)


def packed(backend, arrays, weights, *options, **named):
    return backend.pack(arrays.put(backend, weights), *options, **named)


def rows_times(backend, arrays, left, weights):
    return arrays.get(backend, backend.linear(arrays.put(backend, left), weights))


@pytest.mark.parametrize("shape", [(2, 3, 2), (1, 256, 2), (2, 257, 1), (1, 530, 2)])
def test_order_is_c256(backend, arrays, orders, shape):
    rows, inner, columns = shape
    left, right = arrays.normal(1, rows, inner), arrays.normal(2, inner, columns)
    result = product(backend, arrays, left, right)
    assert arrays.same_bits(result, orders.c256(left, right))


def test_other_chunks_would_be_seen(orders, arrays):
    """The test above can fail: chunks of 128 give other bits."""
    left, right = arrays.normal(1, 1, 530), arrays.normal(2, 530, 2)
    assert not arrays.same_bits(orders.c256(left, right), orders.c256(left, right, chunk=128))


@pytest.mark.parametrize("shape", SHAPES)
def test_every_instruction_set_and_thread_count_gives_the_same_bits(
    threaded, oracle, arrays, shape
):
    rows, inner, columns = shape
    left, right = arrays.normal(3, rows, inner), arrays.normal(4, inner, columns)
    expected = product(oracle, arrays, left, right)
    for backend in threaded:
        assert arrays.same_bits(product(backend, arrays, left, right), expected)
        turned = (np.ascontiguousarray(left.T), np.ascontiguousarray(right.T))
        for first in (False, True):
            for second in (False, True):
                result = product(
                    backend,
                    arrays,
                    turned[0] if first else left,
                    turned[1] if second else right,
                    left_transposed=first,
                    right_transposed=second,
                )
                assert arrays.same_bits(result, expected)


def test_more_columns_than_are_packed_at_once(arrays):
    """Slices hold 2^23 floats: 64 columns of 2^17 do, 79 do not."""
    left, right = arrays.normal(5, 7, 2**17), arrays.normal(6, 2**17, 79)
    for backend in (CpuBackend(), CpuBackend(threads=2)):
        expected = rows_times(backend, arrays, left, packed(backend, arrays, right))
        assert arrays.same_bits(product(backend, arrays, left, right), expected)


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 50), st.integers(1, 530), st.integers(1, 70)),
    kind=st.sampled_from(["normal", "any_floats"]),
    seed=st.integers(0, 2**32 - 1),
    threads=st.integers(0, 3),
)
def test_any_shape_and_any_bits(threaded, oracle, arrays, shape, kind, seed, threads):
    rows, inner, columns = shape
    made = getattr(arrays, kind)
    left, right = made(seed, rows, inner), made(seed + 1, inner, columns)
    expected = product(oracle, arrays, left, right)
    assert arrays.same_bits(product(threaded[threads], arrays, left, right), expected)


def test_special_values(backend, oracle, arrays):
    special = arrays.SPECIAL
    left, right = special[:, None], special[None]
    result = product(backend, arrays, left, right)
    assert arrays.same_bits(result, product(oracle, arrays, left, right))
    nans = result.view(np.uint32)[np.isnan(result)]
    assert set(nans.tolist()) == {0x7FC00000}
    tiny = product(backend, arrays, np.float32([[1e-20]]), np.float32([[1e-20]]))
    assert tiny[0, 0] == np.float32(1e-40)  # denormals are kept
    minus = product(backend, arrays, np.float32([[-0.0]]), np.float32([[1.0]]))
    assert not np.signbit(minus[0, 0])  # totals start at +0


def test_a_row_does_not_depend_on_its_neighbours(backend, arrays):
    left, right = arrays.normal(7, 100, 700), arrays.normal(8, 700, 48)
    whole = product(backend, arrays, left, right)
    for rows in (1, 2, 6, 7, 40, 41):
        assert arrays.same_bits(product(backend, arrays, left[:rows], right), whole[:rows])


def test_accuracy(backend, arrays):
    left, right = arrays.normal(9, 60, 1000), arrays.normal(10, 1000, 60)
    exact = left.astype(np.float64) @ right.astype(np.float64)
    scale = np.abs(left).astype(np.float64) @ np.abs(right).astype(np.float64)
    error = np.abs(product(backend, arrays, left, right) - exact) / scale
    assert error.max() < 2e-6


@pytest.mark.parametrize("columns", [1, 15, 16, 33, 64, 100, 161])
def test_packed_weights_give_the_same_bits_as_a_product(threaded, oracle, arrays, columns):
    left, weights = arrays.normal(11, 50, 519), arrays.normal(12, 519, columns)
    expected = product(oracle, arrays, left, weights)
    for backend in threaded:
        for source, turned in ((weights, False), (np.ascontiguousarray(weights.T), True)):
            kept = packed(backend, arrays, source, transposed=turned)
            for rows in (1, 2, 3, 5, 6, 13, 40, 41, 50):
                result = rows_times(backend, arrays, left[:rows], kept)
                assert arrays.same_bits(result, expected[:rows])


@pytest.mark.parametrize("inner", [1, 2, 255, 256, 519, 768])
def test_bfloat16_weights_are_rounded_weights(threaded, oracle, arrays, inner):
    left, weights = arrays.normal(13, 50, inner), arrays.normal(14, inner, 70)
    cut = oracle.cast(oracle.cast(arrays.put(oracle, weights), DType.BF16), DType.F32)
    expected = arrays.get(oracle, oracle.matmul(arrays.put(oracle, left), cut))
    for backend in (*threaded, oracle):
        kept = packed(backend, arrays, weights, DType.BF16)
        for rows in (1, 4, 50):
            result = rows_times(backend, arrays, left[:rows], kept)
            assert arrays.same_bits(result, expected[:rows])


@pytest.mark.parametrize(("inner", "group"), [(1, 32), (100, 32), (256, 128), (700, 256)])
def test_eight_bits_are_the_same_everywhere(threaded, oracle, arrays, inner, group):
    left, weights = arrays.normal(15, 30, inner), arrays.normal(16, inner, 70)
    left[3] = 0.0
    kept = packed(oracle, arrays, weights, DType.I8, group=group)
    expected = rows_times(oracle, arrays, left, kept)
    for backend in threaded:
        kept = packed(backend, arrays, weights, DType.I8, group=group)
        for rows in (1, 4, 6, 14, 30):
            result = rows_times(backend, arrays, left[:rows], kept)
            assert arrays.same_bits(result, expected[:rows])


def test_eight_bits_are_close_to_the_product(backend, arrays):
    left, weights = arrays.normal(17, 20, 1024), arrays.normal(18, 1024, 64)
    exact = left.astype(np.float64) @ weights.astype(np.float64)
    result = rows_times(backend, arrays, left, packed(backend, arrays, weights, DType.I8))
    assert np.sqrt(np.mean((result - exact) ** 2) / np.mean(exact**2)) < 0.01


def test_eight_bits_say_what_is_not_finite(backend, oracle, arrays):
    left, weights = arrays.normal(19, 5, 100), arrays.normal(20, 100, 20)
    left[1, 7], left[2, 50], weights[3, 4], weights[99, 5] = np.inf, np.nan, -np.inf, np.nan
    left[4] = 1e-44
    results = [
        rows_times(device, arrays, left, packed(device, arrays, weights, DType.I8, group=32))
        for device in (backend, oracle)
    ]
    assert arrays.same_bits(*results)
    assert np.isnan(results[0][1:3]).all()
    assert np.isnan(results[0][:, 4:6]).all()
    assert np.isfinite(np.delete(results[0][[0, 3, 4]], [4, 5], axis=1)).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_integer_products_are_exact(threaded, arrays, shape):
    rows, inner, columns = shape
    random = np.random.default_rng(inner)
    left = random.integers(-128, 128, (rows, inner), dtype=np.int8)
    right = random.integers(-128, 128, (inner, columns), dtype=np.int8)
    expected = left.astype(np.int64) @ right.astype(np.int64)
    for backend in threaded:
        assert np.array_equal(product(backend, arrays, left, right), expected)
        turned = np.ascontiguousarray(left.T), np.ascontiguousarray(right.T)
        options = {"left_transposed": True, "right_transposed": True}
        assert np.array_equal(product(backend, arrays, *turned, **options), expected)


@pytest.mark.parametrize("value", [-128, 127])
@pytest.mark.parametrize("other", [-128, 127])
def test_largest_integer_sums(backend, arrays, value, other):
    left, right = np.full((7, 65536), value, np.int8), np.full((65536, 17), other, np.int8)
    assert set(product(backend, arrays, left, right).flat) == {value * other * 65536}
    with pytest.raises(KernelFailed, match="gemm_i8: bad argument"):
        product(backend, arrays, np.zeros((1, 65537), np.int8), np.zeros((65537, 1), np.int8))


def test_tiles_are_read_and_written_in_place(backend, arrays):
    left, right = arrays.normal(21, 30, 60), arrays.normal(22, 60, 70)
    out = backend.empty(40, 90, dtype=DType.F32)
    part = out.tile(slice(5, 25), slice(11, 51))
    ours = arrays.put(backend, left).tile(slice(3, 23), slice(10, 50))
    theirs = arrays.put(backend, right).tile(slice(20, 60), slice(7, 47))
    backend.matmul(ours, theirs, out=part)
    whole = arrays.get(backend, out)[5:25, 11:51]
    assert arrays.same_bits(
        np.ascontiguousarray(whole), product(backend, arrays, left[3:23, 10:50], right[20:, 7:47])
    )


def test_refusals_name_operation_and_shapes(oracle, arrays):
    left, right = (arrays.put(oracle, arrays.normal(1, *shape)) for shape in ((4, 5), (6, 7)))
    with pytest.raises(OperandMismatch) as refusal:
        oracle.matmul(left, right)
    text = "matmul: the inner sizes 5 and 6 differ (left f32[4, 5], right f32[6, 7])"
    assert str(refusal.value) == text
    bytes_ = arrays.put(oracle, np.zeros((5, 2), np.int8))
    with pytest.raises(OperandMismatch, match=r"matmul: types differ .*i8\[5, 2\]"):
        oracle.matmul(left, bytes_)
    with pytest.raises(OperandMismatch, match=r"result is f32\[4, 7\] \(out f32\[4, 5\]\)"):
        oracle.matmul(left, oracle.empty(5, 7, dtype=DType.F32), out=left)
    square = oracle.empty(4, 4, dtype=DType.F32)
    with pytest.raises(OperandMismatch, match="memory of its own"):
        oracle.matmul(square, square, out=square)
    with pytest.raises(OperandMismatch, match="matrices"):
        oracle.matmul(left.reshape(20), left)
    with pytest.raises(OperandMismatch, match=r"groups of 48 \(weights f32\[4, 5\]\)"):
        oracle.pack(left, DType.I8, group=48)
    with pytest.raises(OperandMismatch, match=r"rows of 6 .*packed bf16\[6, 7\]"):
        oracle.linear(left, oracle.pack(right, DType.BF16))


def test_two_python_threads_share_a_backend(arrays):
    backend = CpuBackend(threads=2)
    left, right = arrays.normal(23, 200, 300), arrays.normal(24, 300, 200)
    expected, results = product(backend, arrays, left, right), []
    threads = [
        threading.Thread(target=lambda: results.append(product(backend, arrays, left, right)))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(arrays.same_bits(result, expected) for result in results)
    assert len(results) == 6
