"""A whole small language model out of the operations, with random weights: rmsnorm, rotary
positions, grouped attention over a cache, a gated feed-forward network.

However its tokens come, one by one, in pieces, all at once, or beside other sequences, the logits
of each have the same bits. So an answer that was decoded is checked by one prefill.
"""

from typing import NamedTuple

import numpy as np
import pytest

from gpu.cpu import CpuBackend
from gpu.ops import Binary, Unary
from gpu.tensors import DType

WORDS, LAYERS = 60, 2
HEADS, CACHED, SIZE = 6, 2, 8
WIDTH, HIDDEN = HEADS * SIZE, 270  # more than one chunk of 256
EPSILON = 1e-5


class Layer(NamedTuple):
    """Norms are plain weights, the others packed."""

    attention_norm: object
    queries: object
    keys: object
    values: object
    output: object
    network_norm: object
    gate: object
    up: object
    down: object


class Model:
    """The same weights on every backend, kept as `kind`."""

    def __init__(self, backend, arrays, kind):
        self.backend, self.arrays = backend, arrays
        seeds = iter(range(1000))

        def packed(inner, columns):
            weights = arrays.normal(next(seeds), inner, columns) / np.float32(np.sqrt(inner))
            return backend.pack(arrays.put(backend, weights), kind, group=32)

        def norm():
            return arrays.put(backend, 1 + arrays.normal(next(seeds), WIDTH) / 8)

        self.table = arrays.put(backend, arrays.normal(next(seeds), WORDS, WIDTH))
        self.layers = [
            Layer(
                norm(),
                *(packed(WIDTH, heads * SIZE) for heads in (HEADS, CACHED, CACHED)),
                packed(WIDTH, WIDTH),
                norm(),
                *(packed(WIDTH, HIDDEN) for _ in range(2)),
                packed(HIDDEN, WIDTH),
            )
            for _ in range(LAYERS)
        ]
        self.last_norm, self.head = norm(), packed(WIDTH, WORDS)
        frequencies = 10_000.0 ** (-np.arange(0, SIZE, 2) / SIZE)
        self.frequencies = arrays.put(backend, frequencies.astype(np.float32))

    def caches(self, sequences, tokens):
        return [self.backend.key_values(sequences, CACHED, tokens, SIZE) for _ in range(LAYERS)]

    def logits(self, caches, words, positions, sequences=None):
        """Of each token, which may belong to different sequences; caches take them up."""
        backend, arrays = self.backend, self.arrays
        words, positions, sequences = (
            None if numbers is None else arrays.put(backend, np.array(numbers, np.int32))
            for numbers in (words, positions, sequences)
        )
        x = backend.embedding(self.table, words)
        for layer, cache in zip(self.layers, caches, strict=True):
            x = backend.combine(Binary.ADD, x, self._attend(layer, cache, x, positions, sequences))
            x = backend.combine(Binary.ADD, x, self._feed(layer, x))
        x = backend.rmsnorm(x, self.last_norm, epsilon=EPSILON)
        return arrays.get(backend, backend.linear(x, self.head))

    def _attend(self, layer, cache, x, positions, sequences):
        backend, tokens = self.backend, x.shape[0]
        h = backend.rmsnorm(x, layer.attention_norm, epsilon=EPSILON)
        queries, keys, values = (
            backend.linear(h, weights).reshape(tokens, -(-weights.columns // SIZE), SIZE)
            for weights in (layer.queries, layer.keys, layer.values)
        )
        queries, keys = (backend.rope(y, positions, self.frequencies) for y in (queries, keys))
        backend.append(cache, keys, values, positions, sequences=sequences)
        seen = backend.attention(queries, cache, positions, sequences=sequences)
        return backend.linear(seen.reshape(tokens, WIDTH), layer.output)

    def _feed(self, layer, x):
        backend = self.backend
        h = backend.rmsnorm(x, layer.network_norm, epsilon=EPSILON)
        gate = backend.apply(Unary.SILU, backend.linear(h, layer.gate))
        return backend.linear(
            backend.combine(Binary.MULTIPLY, gate, backend.linear(h, layer.up)), layer.down
        )


KINDS = pytest.mark.parametrize("kind", [DType.F32, DType.BF16, DType.I8])


def text(seed, tokens):
    return np.random.default_rng(seed).integers(0, WORDS, tokens).tolist()


def prefill(model, words):
    return model.logits(model.caches(1, len(words)), words, range(len(words)))


def in_pieces(model, words, sizes):
    caches, rows, done = model.caches(1, 200), [], 0
    for size in sizes:
        piece = words[done : done + size]
        if piece:
            rows.append(model.logits(caches, piece, range(done, done + len(piece))))
        done += size
    return np.concatenate(rows)


@KINDS
def test_prefill_pieces_and_decoding_give_the_same_logits(backend, arrays, kind):
    model = Model(backend, arrays, kind)
    words = text(1, 25 if backend.name == "cpu/baseline" else 150)
    whole = prefill(model, words)
    assert np.isfinite(whole).all()
    random = np.random.default_rng(2)
    for sizes in ([1] * len(words), random.integers(1, 50, 150).tolist(), [len(words) - 1, 1]):
        assert arrays.same_bits(in_pieces(model, words, sizes), whole)


@KINDS
def test_sequences_of_a_batch_do_not_touch_each_other(backend, arrays, kind):
    """Four answers decoded together, each from a place of its own."""
    model = Model(backend, arrays, kind)
    texts = [text(seed, tokens) for seed, tokens in enumerate((12, 30, 31, 9))]
    alone = [prefill(model, words) for words in texts]
    caches, prompts = model.caches(4, 64), (5, 20, 24, 1)
    for sequence, (words, start) in enumerate(zip(texts, prompts, strict=True)):
        first = model.logits(caches, words[:start], range(start), [sequence] * start)
        assert arrays.same_bits(first, alone[sequence][:start])
    for step in range(7):
        places = [start + step for start in prompts]
        next_words = [words[place] for words, place in zip(texts, places, strict=True)]
        rows = model.logits(caches, next_words, places, range(4))
        expected = [logits[place] for logits, place in zip(alone, places, strict=True)]
        assert arrays.same_bits(rows, np.array(expected))


@KINDS
def test_every_instruction_set_and_thread_count_gives_the_same_answer(
    threaded, oracle, arrays, kind
):
    words = text(3, 20)
    expected = prefill(Model(oracle, arrays, kind), words)
    for backend in threaded:
        assert arrays.same_bits(prefill(Model(backend, arrays, kind), words), expected)


def test_an_answer_that_was_decoded_is_checked_by_one_prefill(arrays):
    """Greedy decoding, then all of its choices at once."""
    backend = CpuBackend()
    model, words = Model(backend, arrays, DType.F32), text(4, 10)
    caches = model.caches(1, 64)
    logits = model.logits(caches, words, range(10))
    while len(words) < 50:
        best = backend.argmax(arrays.put(backend, logits[-1:]))
        words.append(int(arrays.get(backend, best)[0]))
        logits = model.logits(caches, words[-1:], [len(words) - 1])
    checked = backend.argmax(arrays.put(backend, prefill(model, words)))
    assert arrays.get(backend, checked)[9:-1].tolist() == words[10:]
