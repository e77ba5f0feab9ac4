import hashlib
import math

import numpy as np
import pytest

from gpu.errors import OperandMismatch
from gpu.ops import Binary, Distribution, Unary
from gpu.tensors import DType

# Every 16,411th of all 2^32 bit patterns (a prime), and the special values.
STRIDE = 16411

erf, erfc = np.vectorize(math.erf), np.vectorize(math.erfc)


def sigmoid(x):
    return np.where(x < 0, np.exp(-np.abs(x)), 1) / (1 + np.exp(-np.abs(x)))


# In float64.
EXACT = {
    Unary.EXP: np.exp,
    Unary.LOG: np.log,
    Unary.TANH: np.tanh,
    Unary.ERF: erf,
    Unary.SIGMOID: sigmoid,
    Unary.SILU: lambda x: np.where(x == -np.inf, 0, x * sigmoid(x)),
    Unary.RELU: lambda x: np.maximum(x, 0),
    Unary.SQUARE_ROOT: np.sqrt,
    Unary.RECIPROCAL_ROOT: lambda x: 1 / np.sqrt(x),
    Unary.MAGNITUDE: np.abs,
    Unary.NEGATIVE: np.negative,
}
ULP = {
    Unary.EXP: 1.0,
    Unary.LOG: 1.0,
    Unary.TANH: 1.5,
    Unary.ERF: 1.5,
    Unary.SIGMOID: 2.5,
    Unary.SILU: 2.5,
    Unary.RECIPROCAL_ROOT: 1.5,
}
# Below this the result has gone through a denormal.
TINY = {Unary.SILU: 2e-36}


def applied(backend, arrays, function, x):
    return arrays.get(backend, backend.apply(function, arrays.put(backend, x)))


def patterns(arrays):
    return np.concatenate([np.arange(0, 2**32, STRIDE, np.uint32).view(np.float32), arrays.SPECIAL])


def ulps(result, exact):
    """The error in units of the last place of the exact result as a float."""
    nearest = exact.astype(np.float32)
    unit = np.spacing(np.abs(nearest)).astype(np.float64)
    return np.abs(result.astype(np.float64) - exact) / unit


@pytest.mark.parametrize("function", Unary)
def test_bits_are_the_oracles(threaded, oracle, arrays, function):
    x = patterns(arrays)
    expected = applied(oracle, arrays, function, x)
    assert set(expected.view(np.uint32)[np.isnan(expected)].tolist()) <= {0x7FC00000}
    for backend in threaded:
        assert arrays.same_bits(applied(backend, arrays, function, x), expected)


@pytest.mark.parametrize("function", Unary)
def test_bits_are_the_golden_ones(backend, arrays, goldens, function):
    data = applied(backend, arrays, function, patterns(arrays)).tobytes()
    assert hashlib.sha256(data).hexdigest() == goldens["unary"][function.name.lower()]


@pytest.mark.parametrize("function", EXACT)
def test_accuracy(backend, arrays, function):
    x = patterns(arrays)
    with np.errstate(all="ignore"):
        exact = EXACT[function](x.astype(np.float64))
    result = applied(backend, arrays, function, x)
    assert np.array_equal(np.isnan(result), np.isnan(exact))
    inside = np.isfinite(exact) & (np.abs(exact) < 3.4e38)
    assert np.array_equal(result[np.isinf(exact)], exact[np.isinf(exact)].astype(np.float32))
    normal = inside & (np.abs(exact) > TINY.get(function, 1.2e-38))
    assert ulps(result[normal], exact[normal]).max() <= ULP.get(function, 0.5)
    assert np.abs(result[inside & ~normal] - exact[inside & ~normal]).max(initial=0) < 1e-42


def tail_gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


@pytest.mark.parametrize(
    ("function", "exact"),
    [
        (Unary.GELU_ERF, lambda x: 0.5 * x * (1 + erf(x / math.sqrt(2)))),
        (Unary.GELU_TANH, tail_gelu_tanh),
    ],
)
def test_gelu(backend, arrays, function, exact):
    x = np.linspace(-12, 12, 40001, dtype=np.float32)
    assert np.abs(applied(backend, arrays, function, x) - exact(x.astype(np.float64))).max() < 1e-6
    far = np.float32([-np.inf, np.inf, np.nan, -1e30, 1e30])
    result = applied(backend, arrays, function, far)
    assert result.tolist()[1] == np.inf
    assert result[0] == 0
    assert result[3] == 0
    assert np.isnan(result[2])


@pytest.mark.parametrize(("function", "exact"), [(Unary.SIN, np.sin), (Unary.COS, np.cos)])
def test_angles_of_every_size(backend, arrays, function, exact):
    near = np.linspace(-9000, 9000, 200_001, dtype=np.float32)
    every = patterns(arrays)
    every = every[np.isfinite(every)]
    for x in (near, every):
        wide = x.astype(np.float64)
        assert np.abs(applied(backend, arrays, function, x) - exact(wide)).max() < 1.3e-7
    assert np.isnan(applied(backend, arrays, function, np.float32([np.inf, -np.inf, np.nan]))).all()


def combined(backend, arrays, function, x, y):
    return arrays.get(
        backend, backend.combine(function, arrays.put(backend, x), arrays.put(backend, y))
    )


@pytest.mark.parametrize("function", Binary)
def test_pairs_have_the_oracles_bits(threaded, oracle, arrays, function):
    special = np.repeat(arrays.SPECIAL, len(arrays.SPECIAL))
    x = np.concatenate([special, arrays.any_floats(1, 20011)])
    y = np.concatenate([np.tile(arrays.SPECIAL, len(arrays.SPECIAL)), arrays.any_floats(2, 20011)])
    expected = combined(oracle, arrays, function, x, y)
    for backend in threaded:
        assert arrays.same_bits(combined(backend, arrays, function, x, y), expected)


@pytest.mark.parametrize(
    ("function", "exact"),
    [
        (Binary.ADD, np.add),
        (Binary.SUBTRACT, np.subtract),
        (Binary.MULTIPLY, np.multiply),
        (Binary.DIVIDE, np.divide),
    ],
)
def test_arithmetic_is_ieee(backend, arrays, function, exact):
    x, y = arrays.any_floats(3, 20011), arrays.any_floats(4, 20011)
    with np.errstate(all="ignore"):
        expected = exact(x, y)
    result = combined(backend, arrays, function, x, y)
    there = ~np.isnan(expected)
    assert np.array_equal(np.isnan(result), ~there)
    assert arrays.same_bits(result[there], expected[there])


def test_pow_is_c99s(backend, arrays):
    values = np.concatenate(
        [arrays.SPECIAL, np.float32([3, -3, -2.5, 4, 5, 16777216, 16777217, 1e10, -0.3])]
    )
    x, y = np.repeat(values, len(values)), np.tile(values, len(values))
    with np.errstate(all="ignore"):
        expected = np.power(x.astype(np.float64), y.astype(np.float64)).astype(np.float32)
    result = combined(backend, arrays, Binary.POW, x, y)
    assert np.array_equal(np.isnan(result), np.isnan(expected))
    there = ~np.isnan(expected)
    assert np.array_equal(np.signbit(result[there]), np.signbit(expected[there]))
    assert np.array_equal(np.isinf(result), np.isinf(expected))
    finite = np.isfinite(expected)
    assert np.allclose(result[finite], expected[finite], rtol=1.2e-7, atol=1e-45)


def test_pow_accuracy(backend, arrays):
    random = np.random.default_rng(5)
    x = np.exp(random.uniform(-80, 80, 50_000)).astype(np.float32)
    y = random.uniform(-1, 1, 50_000).astype(np.float32)
    exact = np.power(x.astype(np.float64), y.astype(np.float64))
    assert ulps(combined(backend, arrays, Binary.POW, x, y), exact).max() < 0.51


@pytest.mark.parametrize("count", [1, 7, 8, 9, 15, 16, 17, 16383, 16385, 40000])
def test_nothing_is_written_beyond_the_end(threaded, arrays, count):
    x = arrays.normal(6, count)
    for backend in threaded:
        out = backend.empty(1, count + 64, dtype=DType.F32)
        part = out.tile(slice(0, 1), slice(0, count)).reshape(count)
        tail = bytes(backend.download(out))[4 * count :]
        backend.apply(Unary.NEGATIVE, arrays.put(backend, x), out=part)
        result = bytes(backend.download(out))
        assert result[: 4 * count] == (-x).tobytes()
        assert result[4 * count :] == tail


def test_in_place(backend, arrays):
    x = backend.empty(100, dtype=DType.F32)
    backend.random(Distribution.UNIFORM, 100, key=(1, 2), stream=3, out=x)
    expected = np.exp(arrays.get(backend, x).astype(np.float64))
    assert np.allclose(arrays.get(backend, backend.apply(Unary.EXP, x, out=x)), expected)


def cast(backend, arrays, x, dtype):
    return arrays.get(backend, backend.cast(arrays.put(backend, x), dtype))


def test_half_precision_is_numpys(threaded, arrays):
    x = patterns(arrays)
    with np.errstate(over="ignore"):
        expected = x.astype(np.float16)
    expected[np.isnan(x)] = np.uint16(0x7E00).view(np.float16)
    every = np.arange(65536, dtype=np.uint16).view(np.float16)
    wide = every.astype(np.float32)
    wide[np.isnan(wide)] = np.uint32(0x7FC00000).view(np.float32)
    for backend in threaded:
        assert arrays.same_bits(cast(backend, arrays, x, DType.F16), expected)
        assert arrays.same_bits(cast(backend, arrays, every, DType.F32), wide)


def test_bfloat16_rounds_to_nearest_even(threaded, arrays):
    x = patterns(arrays)
    bits = x.view(np.uint32).astype(np.uint64)
    expected = ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)
    expected[np.isnan(x)] = 0x7FC0
    for backend in threaded:
        result = backend.cast(arrays.put(backend, x), DType.BF16)
        assert arrays.same_bits(arrays.get(backend, result), expected)
        back = arrays.get(backend, backend.cast(result, DType.F32))
        assert arrays.same_bits(back, (expected.astype(np.uint32) << 16).view(np.float32))


def test_integers_saturate(threaded, arrays):
    x = np.concatenate([arrays.SPECIAL, np.arange(-140, 140, 0.25, np.float32)])
    whole = np.nan_to_num(x, nan=0)
    small = np.clip(np.rint(whole), -128, 127).astype(np.int8)
    large = np.clip(np.trunc(whole.astype(np.float64)), -(2**31), 2**31 - 1).astype(np.int32)
    for backend in threaded:
        assert np.array_equal(cast(backend, arrays, x, DType.I8), small)
        assert np.array_equal(cast(backend, arrays, x, DType.I32), large)
        back = cast(backend, arrays, large, DType.F32)
        assert arrays.same_bits(back, large.astype(np.float32))
        assert np.array_equal(cast(backend, arrays, small, DType.F32), small)


def random(backend, arrays, distribution, *shape, key=(0, 0), stream=0, **options):
    return arrays.get(
        backend, backend.random(distribution, *shape, key=key, stream=stream, **options)
    )


def philox(counter, key):
    """From the paper's text, in Python integers."""
    (a, b, c, d), (k0, k1) = counter, key
    for _ in range(10):
        first, second = 0xD2511F53 * a, 0xCD9E8D57 * c
        a, c = (second >> 32) ^ b ^ k0, (first >> 32) ^ d ^ k1
        b, d = second & 0xFFFFFFFF, first & 0xFFFFFFFF
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return [a, b, c, d]


def test_philox_known_answer(backend, arrays):
    """Random123's kat_vectors, philox4x32-10."""
    words = random(backend, arrays, Distribution.WORDS, 4)
    assert words.tolist() == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    ones = [0xFFFFFFFF] * 4
    assert philox(ones, ones[:2]) == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]


@pytest.mark.parametrize("block", [0, 1, 2**32 - 3, 2**32, 2**40 + 5])
def test_words_are_a_function_of_their_number(threaded, arrays, block):
    expected = [
        word
        for number in range(block, block + 9)
        for word in philox([number & 0xFFFFFFFF, number >> 32, 7, 9], (11, 2**32 - 1))
    ]
    for backend in threaded:
        for start, count in ((0, 36), (1, 35), (3, 1), (5, 20)):
            options = {"key": (11, 2**32 - 1), "stream": 7, "step": 9, "first": 4 * block + start}
            words = random(backend, arrays, Distribution.WORDS, count, **options)
            assert words.tolist() == expected[start : start + count]


@pytest.mark.parametrize("distribution", Distribution)
def test_long_streams_are_the_same_everywhere(threaded, oracle, arrays, distribution, goldens):
    options = {"key": (1, 2), "stream": 3, "step": 4, "first": 5}
    expected = random(oracle, arrays, distribution, 40_003, **options)
    digest = hashlib.sha256(expected.tobytes()).hexdigest()
    assert digest == goldens["random"][distribution.name.lower()]
    for backend in threaded:
        assert arrays.same_bits(random(backend, arrays, distribution, 40_003, **options), expected)


def test_distributions(backend, arrays):
    uniform = random(backend, arrays, Distribution.UNIFORM, 200_000, key=(5, 6))
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert abs(uniform.mean() - 0.5) < 0.003
    normal = random(backend, arrays, Distribution.NORMAL, 200_000, key=(5, 6)).astype(np.float64)
    assert abs(normal.mean()) < 0.01
    assert abs(normal.std() - 1) < 0.01
    assert abs((normal**4).mean() - 3) < 0.1


def test_refusals(oracle, arrays):
    x = arrays.put(oracle, arrays.normal(1, 3, 4))
    with pytest.raises(OperandMismatch, match=r"add: shapes differ \(x f32\[3, 4\], y f32\[12\]\)"):
        oracle.combine(Binary.ADD, x, x.reshape(12))
    with pytest.raises(OperandMismatch, match=r"gelu_tanh: operands are f32 \(x i8\[2\]\)"):
        oracle.apply(Unary.GELU_TANH, oracle.empty(2, dtype=DType.I8))
    with pytest.raises(OperandMismatch, match="exp: operands have no gaps"):
        oracle.apply(Unary.EXP, x.tile(slice(0, 2), slice(0, 2)))
    with pytest.raises(OperandMismatch, match="exp: the result needs writable memory"):
        oracle.apply(Unary.EXP, x, out=x)
    with pytest.raises(OperandMismatch, match=r"cast: is f32 already"):
        oracle.cast(x, DType.F32)
    with pytest.raises(OperandMismatch, match=r"cast: there is no cast to u8"):
        oracle.cast(x, DType.U8)
