"""The field, against the vectors of the specification and against plain Python integers."""

import numpy as np
import pytest

from gpu.errors import KernelFailed, KernelsUnavailable
from gpu.proofs.chain241 import integers, native
from gpu.proofs.chain241.integers import IntegerArithmetic
from gpu.proofs.chain241.native import NativeArithmetic
from gpu.proofs.chain241.specification import (
    MAX_SIZE,
    MODULUS,
    ONE,
    ZERO,
    Stream,
    added,
    subtracted,
)

DEGREE = 16


def elements(seed, rows):
    return np.random.default_rng(seed).integers(0, MODULUS, (rows, DEGREE), np.uint8)


def element(seed):
    return elements(seed, 1).tobytes()


def as_list(data):
    return list(bytes(data))


def test_sums_products_and_inverses(arithmetic, vectors):
    for case in vectors["field"]:
        a, b = bytes.fromhex(case["a"]), bytes.fromhex(case["b"])
        assert added(a, b).hex() == case["sum"]
        assert subtracted(a, b).hex() == case["difference"]
        assert arithmetic.multiplied(a, b).hex() == case["product"]
        assert arithmetic.multiplied(a, bytes.fromhex(case["inverse_of_a"])) == ONE


def test_every_power_of_x(arithmetic, slow):
    """All 256 products of two powers: 31 degrees, and the reduction by x^16 = 7."""
    for i in range(DEGREE):
        for j in range(DEGREE):
            a, b = (bytes(240 * (k == power) for k in range(DEGREE)) for power in (i, j))
            assert as_list(arithmetic.multiplied(a, b)) == slow.mul(list(a), list(b))


def test_the_modulus_is_irreducible(arithmetic):
    """x^(241^16) = x, and x^(241^8) - x is a unit: Rabin's criterion, 2 being 16's only prime."""
    x = bytes([0, 1]) + bytes(14)
    assert frobenius(arithmetic, x, 16) == x
    half = subtracted(frobenius(arithmetic, x, 8), x)
    assert power(arithmetic, half, MODULUS**16 - 1) == ONE


def frobenius(arithmetic, a, times):
    for _ in range(times):
        a = power(arithmetic, a, MODULUS)
    return a


def power(arithmetic, a, exponent):
    result = ONE
    for bit in f"{exponent:b}":
        result = arithmetic.multiplied(result, result)
        if bit == "1":
            result = arithmetic.multiplied(result, a)
    return result


def test_equality_table(arithmetic, vectors, slow):
    case = vectors["eq_table"]
    point = [bytes.fromhex(coordinate) for coordinate in case["point"]]
    assert [row.tobytes().hex() for row in arithmetic.equality(point)] == case["values"]
    assert arithmetic.equality([]).tobytes() == ONE
    point = [element(seed) for seed in range(5)]
    expected = [bytes(slow.eq_bits(list(map(list, point)), k)) for k in range(32)]
    assert [row.tobytes() for row in arithmetic.equality(point)] == expected


def test_inner_product_of_equality_tables_is_the_equality_of_points(arithmetic, slow):
    first, second = ([element(seed + k) for k in range(4)] for seed in (10, 20))
    tables = arithmetic.equality(first), arithmetic.equality(second)
    expected = slow.eq_points(list(map(list, first)), list(map(list, second)))
    assert as_list(arithmetic.inner(*tables)) == expected


def test_tables(arithmetic, slow):
    first, second = elements(1, 9), elements(2, 9)
    a, b, weights = element(3), element(4), elements(5, 1)[0, :9]
    rows = [(list(map(int, x)), list(map(int, y))) for x, y in zip(first, second, strict=True)]
    one, other = list(a), list(b)
    assert arithmetic.scaled(first, a).tolist() == [slow.mul(x, one) for x, _ in rows]
    expected = [slow.times(int(w), x) for w, (x, _) in zip(weights, rows, strict=True)]
    assert arithmetic.weighted(first, weights).tolist() == expected
    expected = [slow.add(slow.mul(x, one), slow.mul(y, other)) for x, y in rows]
    assert arithmetic.combined(first, a, second, b).tolist() == expected
    assert as_list(arithmetic.inner(first, second)) == slow.add(*(slow.mul(*r) for r in rows))


@pytest.mark.parametrize("rows", [2, 6, 10, 64, 126, 128, 130, 1022])
def test_sum_check(arithmetic, slow, rows):
    """The message's polynomial at r is the sum that is left when r is bound."""
    tables, r = [elements(seed, rows) for seed in range(4)], element(8)
    check = arithmetic.sum_check([(tables[0], tables[1]), (tables[2], tables[3])])
    claim = total(arithmetic, [(tables[0], tables[1]), (tables[2], tables[3])])
    message = check.message()
    check.bind(r)
    assert check.rows == rows // 2
    assert arithmetic.next_claim(claim, message, r) == total(arithmetic, check.tables())
    for table, folded in zip(tables, np.concatenate(check.tables()), strict=True):
        for k in {0, rows // 2 - 1}:
            low, high = table[k].tobytes(), table[k + rows // 2].tobytes()
            slope = slow.mul(list(subtracted(high, low)), list(r))
            assert folded[k].tolist() == slow.add(list(low), slope)


def total(arithmetic, pairs):
    parts = [arithmetic.inner(left, right) for left, right in pairs]
    return added(parts[0], parts[1])


def test_sum_check_to_the_end(arithmetic):
    """Every message follows from the claim before, down to one row, as NumPy has it."""
    pairs, claim = [(elements(6, 256), elements(7, 256))], None
    check, other = arithmetic.sum_check(pairs), IntegerArithmetic().sum_check(pairs)
    claim = arithmetic.inner(*pairs[0])
    while check.rows > 1:
        message, r = check.message(), element(check.rows)
        assert message == other.message()
        check.bind(r)
        other.bind(r)
        claim = arithmetic.next_claim(claim, message, r)
        assert np.array_equal(check.tables(), other.tables())
    ((left, right),) = check.tables()
    assert arithmetic.multiplied(left.tobytes(), right.tobytes()) == claim
    assert np.array_equal(pairs[0][0], elements(6, 256))


def test_claim_is_the_sum_at_zero_and_one(arithmetic):
    claim, message = element(9), element(10) + element(11)
    at_zero = arithmetic.next_claim(claim, message, ZERO)
    assert at_zero == message[:DEGREE]
    assert added(at_zero, arithmetic.next_claim(claim, message, ONE)) == claim


def test_image_and_evaluation(arithmetic, slow):
    table, matrix = elements(12, 30), np.random.default_rng(13).integers(0, 241, (67, 30), np.uint8)
    exact = matrix.astype(np.int64) @ table.astype(np.int64) % MODULUS
    assert np.array_equal(arithmetic.image(matrix, table), exact)
    assert as_list(arithmetic.evaluated(matrix[0], table)) == exact[0].tolist()


@pytest.mark.parametrize("value", [1, 120, 121, 240])
@pytest.mark.parametrize("other", [1, 120, 121, 240])
def test_largest_sums(arithmetic, value, other, slow):
    """65,536 products of the largest residues, also those that centring makes the largest."""
    left, right = (np.full((MAX_SIZE, DEGREE), residue, np.uint8) for residue in (value, other))
    vector = np.full(MAX_SIZE, value, np.uint8)
    everywhere = [MAX_SIZE * value * other % MODULUS] * DEGREE
    assert as_list(arithmetic.evaluated(vector, right)) == everywhere
    assert arithmetic.image(vector[None], right).tolist() == [everywhere]
    product = slow.mul([value] * DEGREE, [other] * DEGREE)
    whole = slow.times(MAX_SIZE % MODULUS, product)
    assert as_list(arithmetic.inner(left, right)) == whole
    pairs = [(left, right)] * 2
    assert as_list(arithmetic.sum_check(pairs).message()) == whole + [0] * DEGREE
    for table in (left, right):
        table[: MAX_SIZE // 2] = 0
    assert as_list(arithmetic.sum_check(pairs).message()) == [0] * DEGREE + whole


@pytest.mark.parametrize("value", [0, 1, 120, 121, 240])
@pytest.mark.parametrize("other", [0, 1, 120, 121, 240])
def test_largest_products(arithmetic, value, other, slow):
    table, factor = np.full((5, DEGREE), value, np.uint8), bytes([other]) * DEGREE
    product = slow.mul([value] * DEGREE, list(factor))
    assert arithmetic.scaled(table, factor).tolist() == [product] * 5
    doubled = slow.add(product, product)
    assert arithmetic.combined(table, factor, table, factor).tolist() == [doubled] * 5
    check = arithmetic.sum_check([(np.zeros((8, DEGREE), np.uint8), np.tile(table[:4], (2, 1)))])
    check.bind(factor)
    assert [half.tolist() for half in check.tables()[0]] == [[[0] * DEGREE] * 4, table[:4].tolist()]


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 15, 16, 17, 63, 64, 65, 67, 257])
@pytest.mark.parametrize("value", [None, 0, 1, 120, 121, 240])
def test_lengths_that_are_no_multiple_of_a_block(arithmetic, rows, value):
    """Random residues, and all the same on the left, the right, or both."""
    left, right = elements(rows, rows), elements(rows + 1, rows)
    weights, a, b = elements(rows, 257)[:rows, 0].copy(), element(20), element(21)
    other = IntegerArithmetic()
    if value is not None:
        left[:], weights[:], a = value, value, bytes([value]) * DEGREE
    for second, factor in ((right, b), (left, a)):
        assert arithmetic.inner(left, second) == other.inner(left, second)
        assert arithmetic.inner(second, left) == other.inner(second, left)
        assert arithmetic.evaluated(weights, second) == other.evaluated(weights, second)
        found = [
            arithmetic.scaled(second, factor),
            arithmetic.scaled(left, b),
            arithmetic.weighted(second, weights),
            arithmetic.combined(left, a, second, factor),
        ]
        expected = [
            other.scaled(second, factor),
            other.scaled(left, b),
            other.weighted(second, weights),
            other.combined(left, a, second, factor),
        ]
        assert np.array_equal(found, expected)


def test_largest_coefficients(arithmetic, slow):
    largest = bytes([240]) * DEGREE
    table, expected = elements(14, 3), list(largest)
    table[:] = 240
    squared = slow.mul(expected, expected)
    assert arithmetic.scaled(table, largest).tolist() == [squared] * 3
    doubled = slow.add(squared, squared)
    assert arithmetic.combined(table, largest, table, largest).tolist() == [doubled] * 3
    assert arithmetic.weighted(table, np.full(3, 240, np.uint8)).tolist() == [[1] * DEGREE] * 3
    message, one_more = largest * 2, added(largest, ONE)
    expected = slow.add(expected, slow.mul(slow.add(slow.times(-2, expected), squared), expected))
    assert as_list(arithmetic.next_claim(largest, message, largest)) == expected
    assert one_more == bytes([0]) + largest[1:]


@pytest.mark.parametrize(("stream", "nonzero"), [(0, False), (1, True), (3, False)])
@pytest.mark.parametrize(("first", "count"), [(0, 1), (0, 300), (5, 40), (16, 16), (33, 7)])
def test_expansion(arithmetic, reference, stream, nonzero, first, count):
    key, mapping = bytes(range(32)), reference.nonzero if nonzero else reference.residue
    expected = reference.residues(key, stream, 9, first + count, mapping)[first:]
    found = arithmetic.expanded(key, stream, 9, count, first=first, nonzero=nonzero)
    assert found.tolist() == expected


@pytest.mark.parametrize("size", [1, 2, 15, 16, 17, 100, 128, 400])
def test_image_of_the_start(arithmetic, monkeypatch, size):
    """X_0 in parts that begin anywhere in its stream is X_0 as one piece."""
    start = IntegerArithmetic().expanded(bytes(32), Stream.START, 0, size**2).reshape(size, size)
    table = elements(16, size)
    for module in (integers, native):
        monkeypatch.setattr(module, "_EXPANSION", 1500)
    exact = start.astype(np.int64) @ table % MODULUS
    assert np.array_equal(arithmetic.start_image(bytes(32), table), exact)


def test_expansion_of_many_blocks(arithmetic, backend):
    """Far into the stream and over the batches of the implementations."""
    count, first = 300_001, 2**32 - 77
    out = backend.empty(1, count)
    backend.expand(out, bytes(32), 0, 0, first=first)
    found = arithmetic.expanded(bytes(32), 0, 0, count, first=first)
    assert found.tobytes() == bytes(backend.download(out))


def test_native_refuses_operands_that_do_not_fit():
    arithmetic, table = NativeArithmetic(), elements(15, 8)
    with pytest.raises(KernelFailed, match="shape"):
        arithmetic.inner(table, table[:7])
    with pytest.raises(KernelFailed, match="shape"):
        arithmetic.scaled(table[:, :8], ONE)
    with pytest.raises(KernelFailed, match="shape"):
        arithmetic.sum_check([(table, table), (table, table[:4])])
    with pytest.raises(KernelFailed, match="one run"):
        arithmetic.scaled(table[::2], ONE)
    with pytest.raises(KernelFailed, match="one run"):
        arithmetic.scaled(table.astype(np.int64), ONE)
    with pytest.raises(KernelFailed, match="shape"):
        arithmetic.weighted(table, np.zeros(7, np.uint8))
    with pytest.raises(KernelFailed, match="15"):
        arithmetic.sum_check([(table, table)]).bind(ONE[1:])
    with pytest.raises(KernelFailed, match="15"):
        arithmetic.multiplied(ONE, ONE[1:])


def test_missing_library_says_so(tmp_path):
    with pytest.raises(KernelsUnavailable, match="not built"):
        NativeArithmetic(path=tmp_path / "libtmproofs.so")
    wrong = tmp_path / "wrong.so"
    wrong.write_bytes(b"\x7fELF")
    with pytest.raises(KernelsUnavailable, match="cannot be loaded"):
        NativeArithmetic(path=wrong)
    with pytest.raises(KernelsUnavailable, match="instruction set"):
        NativeArithmetic("abacus")
