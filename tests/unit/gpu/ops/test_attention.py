import hashlib
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu.errors import KernelFailed, OperandMismatch
from gpu.ops import Mask, Unary
from gpu.tensors import DType, KeyValues

# Tokens, heads, cached heads, size.
SHAPES = [
    (1, 1, 1, 1),
    (2, 3, 1, 2),
    (7, 2, 2, 16),
    (63, 4, 2, 8),
    (64, 6, 1, 33),
    (65, 5, 5, 31),
    (130, 3, 1, 64),
    (129, 8, 2, 80),
    (66, 1, 1, 200),
    (90, 14, 1, 17),
]


class Problem(NamedTuple):
    """Queries, keys and values (tokens, heads, size)."""

    queries: np.ndarray
    keys: np.ndarray
    values: np.ndarray


def problem(arrays, tokens, heads, cached, size, *, kind="normal", seed=1):
    made = getattr(arrays, kind)
    counts = enumerate((heads, cached, cached))
    return Problem(*(made(seed + i, tokens, count, size) for i, count in counts))


def i32(backend, arrays, numbers):
    return None if numbers is None else arrays.put(backend, np.array(numbers, np.int32))


def cache_full_of(backend, arrays, value, sequences, heads, tokens, size):
    """What was never appended is this value."""
    plain = backend.key_values(sequences, heads, tokens, size)
    whole = (np.full(part.shape, value, np.float16) for part in (plain.keys, plain.values))
    keys, values = (backend.cast(arrays.put(backend, part), DType.F32) for part in whole)
    return KeyValues(keys, values, size)


def append(backend, arrays, cache, p, tokens, sequences=None, positions=None):
    tokens = list(tokens)
    backend.append(
        cache,
        arrays.put(backend, p.keys[tokens]),
        arrays.put(backend, p.values[tokens]),
        i32(backend, arrays, tokens if positions is None else positions),
        sequences=i32(backend, arrays, sequences),
    )


def filled(backend, arrays, p, *, room=0, value=np.nan):
    """A cache of one sequence that holds all tokens."""
    tokens, heads, size = p.keys.shape
    cache = cache_full_of(backend, arrays, value, 1, heads, tokens + room, size)
    append(backend, arrays, cache, p, range(tokens))
    return cache


def attend(backend, arrays, queries, cache, positions, **options):
    """Options that name a field of Mask go there; numbers become tensors."""
    for name in {"sequences", "starts", "lengths"} & options.keys():
        options[name] = i32(backend, arrays, options[name])
    mask = Mask(**{name: options.pop(name) for name in Mask._fields if name in options})
    queries, positions = arrays.put(backend, queries), i32(backend, arrays, positions)
    return arrays.get(backend, backend.attention(queries, cache, positions, mask=mask, **options))


def prefill(backend, arrays, p, **options):
    """All tokens at once."""
    cache = filled(backend, arrays, p)
    return attend(backend, arrays, p.queries, cache, range(len(p.queries)), **options)


def exact(p, seen, scale=None):
    """In float64; seen: (tokens, keys) booleans."""
    group = p.queries.shape[1] // p.keys.shape[1]
    queries, keys, values = (part.astype(np.float64) for part in p)
    keys, values = np.repeat(keys, group, 1), np.repeat(values, group, 1)
    scale = 1 / np.sqrt(p.keys.shape[2]) if scale is None else scale
    scores = np.einsum("thd,jhd->htj", queries, keys) * scale
    scores = np.where(seen, scores, -np.inf)
    with np.errstate(invalid="ignore"):
        powers = np.exp(scores - scores.max(-1, keepdims=True))
        return np.einsum("htj,jhd->thd", powers / powers.sum(-1, keepdims=True), values)


def causal(tokens):
    return np.tril(np.ones((tokens, tokens), bool))


@pytest.mark.parametrize(("keys", "size"), [(3, 5), (64, 2), (65, 3), (130, 3), (1100, 1)])
def test_order_is_the_documented_one(backend, oracle, arrays, orders, keys, size):
    p = problem(arrays, keys, 1, 1, size)
    cache = filled(backend, arrays, p)
    result = attend(backend, arrays, p.queries[-1:], cache, [keys - 1], scale=0.5)

    def power(x):
        return arrays.get(oracle, oracle.apply(Unary.EXP, arrays.put(oracle, x.reshape(1))))[0]

    operands = (p.queries[-1, 0] * np.float32(0.5), p.keys[:, 0], p.values[:, 0], power)
    assert arrays.same_bits(result[0, 0], orders.attention(*operands))
    if keys > 64:  # the test can fail
        assert not arrays.same_bits(result[0, 0], orders.attention(*operands, block=32))
    if keys > 1024:
        assert not arrays.same_bits(result[0, 0], orders.attention(*operands, superblock=8))


@pytest.mark.parametrize("shape", SHAPES)
def test_every_instruction_set_and_thread_count_gives_the_same_bits(
    threaded, oracle, arrays, shape
):
    p = problem(arrays, *shape)
    expected = prefill(oracle, arrays, p)
    assert np.abs(expected - exact(p, causal(shape[0]))).max() < 2e-6
    for backend in threaded:
        assert arrays.same_bits(prefill(backend, arrays, p), expected)


@pytest.mark.parametrize("value", [np.nan, 65504])
def test_prefill_chunks_and_decoding_give_the_same_bits(backend, arrays, value):
    count = 150 if backend.name == "cpu/baseline" else 1100
    p = problem(arrays, count, 3, 1, 16)
    whole = prefill(backend, arrays, p)
    random = np.random.default_rng(1)
    for sizes in ([1] * 70, random.integers(1, 130, 40), [64] * 18, [count - 1, 1]):
        cache = cache_full_of(backend, arrays, value, 1, 1, 2000, 16)
        done = 0
        for size in sizes:
            tokens = range(done, min(done + int(size), count))
            if not tokens:
                break
            append(backend, arrays, cache, p, tokens)
            result = attend(backend, arrays, p.queries[tokens.start : tokens.stop], cache, tokens)
            assert arrays.same_bits(result, whole[tokens.start : tokens.stop])
            done = tokens.stop


def test_a_batch_of_sequences_gives_the_bits_of_each(threaded, arrays):
    """Rows of four sequences, neighbours or mixed."""
    random = np.random.default_rng(2)
    problems = [problem(arrays, tokens, 4, 2, 24, seed=tokens) for tokens in (1, 70, 129, 200)]
    tokens = [(s, t) for s, p in enumerate(problems) for t in range(len(p.queries))]
    for backend in threaded:
        alone = [prefill(backend, arrays, p) for p in problems]
        cache = cache_full_of(backend, arrays, np.nan, 4, 2, 256, 24)
        for order in (tokens, [tokens[i] for i in random.permutation(len(tokens))]):
            places = {"sequences": [s for s, _ in order], "positions": [t for _, t in order]}
            mixed = Problem(*(np.array([problems[s][i][t] for s, t in order]) for i in range(3)))
            append(backend, arrays, cache, mixed, range(len(order)), **places)
            result = attend(backend, arrays, mixed.queries, cache, **places)
            assert arrays.same_bits(result, np.array([alone[s][t] for s, t in order]))


@settings(max_examples=60, deadline=None)
@given(
    tokens=st.integers(1, 150),
    cached=st.integers(1, 3),
    group=st.integers(1, 9),
    size=st.integers(1, 70),
    kind=st.sampled_from(["normal", "any_floats"]),
    seed=st.integers(0, 2**32 - 4),
    threads=st.integers(0, 3),
    options=st.fixed_dictionaries(
        {},
        optional={
            "lengths": st.lists(st.integers(0, 150), min_size=1, max_size=1),
            "starts": st.lists(st.integers(0, 150), min_size=1, max_size=1),
            "window": st.integers(1, 100),
        },
    ),
)
def test_any_shape_mask_and_bits(
    threaded, oracle, arrays, tokens, cached, group, size, kind, seed, threads, options
):
    p = problem(arrays, tokens, cached * group, cached, size, kind=kind, seed=seed)
    if "lengths" in options:
        options = options | {"lengths": [min(options["lengths"][0], tokens)]}
    for causal_ in (True, False) if "lengths" in options else (True,):
        expected = prefill(oracle, arrays, p, causal=causal_, **options)
        result = prefill(threaded[threads], arrays, p, causal=causal_, **options)
        assert arrays.same_bits(result, expected)


def test_masks_are_what_they_say(backend, arrays):
    p = problem(arrays, 150, 2, 1, 8)
    place = np.arange(150)
    lower = place[:, None] >= place
    near, middle = place > place[:, None] - 40, (place >= 30) & (place < 120)
    for options, seen in (
        ({"causal": False, "lengths": [150]}, np.ones_like(lower)),
        ({"causal": False, "lengths": [101]}, np.broadcast_to(place < 101, lower.shape)),
        ({"lengths": [101]}, lower & (place < 101)),
        ({"starts": [70]}, lower & (place >= 70)),
        ({"window": 40}, lower & near),
        ({"window": 40, "causal": False, "lengths": [150]}, near),
        ({"window": 1}, np.eye(150, dtype=bool)),
        ({"window": 40, "starts": [30], "lengths": [120]}, lower & near & middle),
    ):
        result = prefill(backend, arrays, p, **options)
        there = seen.any(axis=1)
        assert np.abs(result - exact(p, seen))[there].max() < 2e-6
        assert not result[~there].view(np.uint32).any()  # a row that sees nothing is +0


def test_masked_keys_do_not_matter(backend, arrays):
    """Neither does the room that a cache has: the same bits whatever the unseen keys are."""
    p = problem(arrays, 100, 2, 1, 8)
    options = {"starts": [33], "lengths": [90]}
    expected = prefill(backend, arrays, p, **options)
    for value in (np.nan, np.inf, -np.inf, 65504):
        other = Problem(*(part.copy() for part in p))
        for part in (other.keys, other.values):
            part[:33] = part[90:] = value
        cache = filled(backend, arrays, other, room=300, value=value)
        result = attend(backend, arrays, p.queries, cache, range(100), **options)
        assert arrays.same_bits(result, expected)


def test_bounds_are_those_of_the_rows_sequence(backend, arrays):
    p = problem(arrays, 80, 2, 1, 8)
    cache = cache_full_of(backend, arrays, np.nan, 2, 1, 80, 8)
    for sequence in (0, 1):
        append(backend, arrays, cache, p, range(80), [sequence] * 80)
    places = {"sequences": [1, 0], "positions": [79, 79]}
    both = attend(
        backend, arrays, p.queries[[79, 79]], cache, **places, starts=[5, 60], lengths=[40, 70]
    )
    bounds = ({"starts": [60], "lengths": [70]}, {"starts": [5], "lengths": [40]})
    for row, options in enumerate(bounds):
        assert arrays.same_bits(both[row], prefill(backend, arrays, p, **options)[79])


def test_special_values(backend, oracle, arrays):
    """Each special value in each place of a query, a key or a value."""
    for part in range(3):
        p = problem(arrays, 70, 2, 1, len(arrays.SPECIAL))
        for i, value in enumerate(arrays.SPECIAL):
            p[part][3 * i, :, i] = value
        result = prefill(backend, arrays, p)
        assert arrays.same_bits(result, prefill(oracle, arrays, p))
        assert set(result.view(np.uint32)[np.isnan(result)].tolist()) <= {0x7FC00000}


def test_the_first_part_is_copied(backend, arrays):
    """A sum that is -0 would become +0 if it were added to one that is +0."""
    p = problem(arrays, 2, 1, 1, 1)
    p.queries[:], p.keys[:, 0, 0], p.values[:, 0, 0] = 1, [-1, 0], [-1e-45, -0.0]
    assert prefill(backend, arrays, p, scale=1.0).view(np.uint32)[1, 0, 0] == 0x80000000


def test_powers_of_every_kind_of_distance(backend, oracle, arrays):
    """Scores are 0 and 63 numbers below it; values that are 0 but once show the powers."""
    count = 64
    below = np.arange(2**31, 2**32, 2**31 // (count * 63), np.uint32).view(np.float32)[: count * 63]
    keys = np.zeros((count, 64, 1, 64), np.float32)
    keys[:, 1:, 0, 0] = np.where(np.isnan(below), -1, below).reshape(count, 63)
    values = np.broadcast_to(np.eye(64, dtype=np.float32)[:, None], keys.shape)
    queries = np.zeros((count, 1, 64), np.float32)
    queries[:, :, 0] = 1
    results = []
    for device in (backend, oracle):
        cache = device.key_values(count, 1, 64, 64)
        p = Problem(queries, *(part.reshape(-1, 1, 64) for part in (keys, values)))
        places = {"positions": [*range(64)] * count, "sequences": np.repeat(range(count), 64)}
        append(device, arrays, cache, p, range(64 * count), **places)
        rows = {"positions": [63] * count, "sequences": range(count)}
        results.append(attend(device, arrays, queries, cache, **rows, scale=1.0))
    assert arrays.same_bits(*results)
    assert np.isfinite(results[0]).all()


def test_what_is_not_finite_stays_with_those_who_see_it(backend, arrays):
    p = problem(arrays, 100, 1, 1, 4)
    plain = prefill(backend, arrays, p)
    for value in (np.nan, np.inf):
        for part, wrong in ((1, slice(None)), (2, 2)):
            other = Problem(*(array.copy() for array in p))
            other[part][70, 0, 2] = value
            result = prefill(backend, arrays, other)
            assert arrays.same_bits(result[:70], plain[:70])
            seen = result[70:, 0, wrong]
            assert not np.isfinite(seen[p.queries[70:, 0, 2] > 0]).any()
    far = Problem(p.queries * np.float32(0) + 1, p.keys.copy(), p.values)
    far.keys[50, 0, 0] = -np.inf
    assert np.isfinite(prefill(backend, arrays, far)).all()  # a weight of 0
    far.keys[:64, 0, 0] = -np.inf
    assert np.isnan(prefill(backend, arrays, far)).all()  # a whole block of none is refused


def test_statistics_give_the_weights_back(backend, oracle, arrays):
    p = problem(arrays, 100, 2, 1, 16)
    cache, results = filled(backend, arrays, p), []
    for device, kept in ((backend, cache), (oracle, filled(oracle, arrays, p))):
        statistics = device.empty(100, 2, 2, dtype=DType.F32)
        attend(device, arrays, p.queries, kept, range(100), statistics=statistics, starts=[1])
        results.append(arrays.get(device, statistics))
    assert arrays.same_bits(*results)
    assert results[0][0].tolist() == [[-np.inf, 0]] * 2
    scores = np.einsum("hd,jd->hj", p.queries[99].astype(float), p.keys[1:, 0]) / 4
    assert np.allclose(results[0][99, :, 0], scores.max(1), atol=1e-5)
    sums = np.exp(scores - scores.max(1, keepdims=True)).sum(1)
    assert np.allclose(results[0][99, :, 1], sums, rtol=1e-5)


def test_accuracy(backend, arrays):
    p = problem(arrays, 400, 1, 1, 64)
    wide = Problem(p.queries * 8, p.keys, p.values)  # scores of about +-30
    for q, bound in ((p, 4e-7), (wide, 4e-6)):
        error = np.abs(prefill(backend, arrays, q) - exact(q, causal(400)))
        assert error.max() / np.abs(p.values).max() < bound


def test_bits_are_the_golden_ones(backend, arrays, goldens):
    p = problem(arrays, 1090, 4, 2, 24)
    cache = filled(backend, arrays, p)
    rows = [0, 1, 63, 64, 500, 1023, 1024, 1089]
    data = attend(backend, arrays, p.queries[rows], cache, rows).tobytes()
    assert hashlib.sha256(data).hexdigest() == goldens["attention"]["causal"]
    data = attend(backend, arrays, p.queries[rows], cache, rows, window=100).tobytes()
    assert hashlib.sha256(data).hexdigest() == goldens["attention"]["window"]


def test_later_tokens_replace_earlier_ones(threaded, arrays):
    p = problem(arrays, 10, 1, 1, 4)
    for backend in threaded:
        cache = filled(backend, arrays, p)
        append(backend, arrays, cache, p, [7, 8, 9], positions=[2, 2, 3])
        changed = Problem(p.queries, p.keys.copy(), p.values.copy())
        for part in (changed.keys, changed.values):
            part[2], part[3] = part[8], part[9]
        result = attend(backend, arrays, p.queries, cache, range(10))
        assert arrays.same_bits(result, prefill(backend, arrays, changed))


@pytest.mark.parametrize(
    "places",
    [
        {"positions": [-1]},
        {"positions": [64]},
        {"positions": [0], "sequences": [1]},
        {"positions": [0], "sequences": [-1]},
    ],
)
def test_places_that_the_cache_does_not_have(backend, arrays, places):
    p = problem(arrays, 1, 1, 1, 4)
    cache = filled(backend, arrays, p)
    with pytest.raises(KernelFailed, match="append: a token has no place in the cache"):
        append(backend, arrays, cache, p, [0], **places)
    with pytest.raises(KernelFailed, match="attention: a token has no place in the cache"):
        attend(backend, arrays, p.queries, cache, **places)


@pytest.mark.parametrize("bounds", [{"starts": [-1]}, {"lengths": [65]}, {"lengths": [-1]}])
def test_bounds_that_the_cache_does_not_have(backend, arrays, bounds):
    p = problem(arrays, 1, 1, 1, 4)
    with pytest.raises(KernelFailed, match="attention: a token has no place in the cache"):
        prefill(backend, arrays, p, **bounds)


def test_refusals(oracle, arrays):
    p = problem(arrays, 5, 4, 2, 8)
    cache = filled(oracle, arrays, p)
    queries, positions = arrays.put(oracle, p.queries), i32(oracle, arrays, range(5))
    three = arrays.put(oracle, p.queries[:, :3])
    text = (
        r"attention: queries are not .* \(queries f32\[5, 3, 8\], cache key_values\[1, 2, 64, 8\]"
    )
    with pytest.raises(OperandMismatch, match=text):
        oracle.attention(three, cache, positions)
    with pytest.raises(OperandMismatch, match=r"positions is not \[5\] \(positions i32\[1, 5\]"):
        oracle.attention(queries, cache, positions.reshape(1, 5))
    with pytest.raises(OperandMismatch, match=r"lengths is not \[1\] \(lengths i32\[5\]"):
        oracle.attention(queries, cache, positions, mask=Mask(lengths=positions))
    with pytest.raises(OperandMismatch, match="the mask needs positions"):
        oracle.attention(queries, cache)
    with pytest.raises(OperandMismatch, match="the mask needs lengths"):
        oracle.attention(queries, cache, mask=Mask(causal=False))
    with pytest.raises(OperandMismatch, match="no window of 0"):
        oracle.attention(queries, cache, positions, mask=Mask(window=0))
    result = oracle.attention(queries, cache, positions)
    with pytest.raises(OperandMismatch, match="memory of its own"):
        oracle.attention(result, cache, positions, out=result)
    with pytest.raises(OperandMismatch, match=r"append: keys is not \[5, 2, 8\]"):
        oracle.append(cache, queries, queries, positions)
