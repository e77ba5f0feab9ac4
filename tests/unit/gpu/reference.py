"""chain241 in plain Python integers, written from its specification and nothing else.

Slow and obvious on purpose: it shares no code with the kernels or the workload.
"""

import hashlib
from functools import cache
from itertools import islice
from operator import mul

MODULUS = 241
MASK = 0xFFFFFFFF
COLUMNS = [(0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15)]
DIAGONALS = [(0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)]


def le32(number):
    return bytes((number >> shift) & 255 for shift in (0, 8, 16, 24))


def enc(*fields):
    return b"".join(le32(len(field)) + field for field in fields)


def key(context, size, iterations):
    """`context` as in the vectors file."""
    texts = [context[name].encode() for name in ("chain_id", "task_id", "worker", "seed")]
    numbers = [le32(context["job"]), le32(size), le32(iterations)]
    beacon = bytes.fromhex(context["beacon"])
    return hashlib.sha256(enc(b"tmnode/chain241/v1/key", *texts, beacon, *numbers)).digest()


def out(chain_key, size, iterations, last):
    last_digest = hashlib.sha256(last).digest()
    fields = (chain_key, le32(size), le32(iterations), last_digest)
    return hashlib.sha256(enc(b"tmnode/chain241/v1/out", *fields)).digest()


def chacha20_block(chain_key, counter, nonce):
    """RFC 8439, section 2.3: sixteen words."""
    text = b"expand 32-byte k" + chain_key + le32(counter) + nonce
    start = [int.from_bytes(text[i : i + 4], "little") for i in range(0, 64, 4)]
    state = list(start)

    def add_rotate(a, b, c, bits):
        state[a] = (state[a] + state[b]) & MASK
        mixed = state[c] ^ state[a]
        state[c] = (mixed << bits | mixed >> (32 - bits)) & MASK

    for _ in range(10):
        for a, b, c, d in COLUMNS + DIAGONALS:
            add_rotate(a, b, d, 16)
            add_rotate(c, d, b, 12)
            add_rotate(a, b, d, 8)
            add_rotate(c, d, b, 7)
    return [(x + y) & MASK for x, y in zip(state, start, strict=True)]


def words(chain_key, stream, step):
    counter = 0
    while True:
        yield from chacha20_block(chain_key, counter, le32(stream) + le32(step) + le32(0))
        counter += 1


def residue(word):
    return word * 241 // 2**32


def nonzero(word):
    return 1 + word * 240 // 2**32


def residues(chain_key, stream, step, count, mapping=residue):
    return [mapping(word) for word in islice(words(chain_key, stream, step), count)]


def product(left, right, scale=None, column=None, row=None):
    """left · diag(scale) · right + column ⊗ row mod 241 for lists of rows."""
    if scale is not None:
        left = [list(map(mul, line, scale)) for line in left]
    turned = list(zip(*right, strict=True))
    result = [[sum(map(mul, line, other)) for other in turned] for line in left]
    if column is not None:
        for line, factor in zip(result, column, strict=True):
            line[:] = map(sum, zip(line, (factor * entry for entry in row), strict=True))
    return [[entry % MODULUS for entry in line] for line in result]


@cache
def chain(chain_key, size, iterations):
    """X_0 … X_T, each as n^2 bytes."""
    flat = residues(chain_key, 0, 0, size * size)
    current = [flat[i : i + size] for i in range(0, size * size, size)]
    iterates = [raw(current)]
    for step in range(iterations):
        diagonal = residues(chain_key, 1, step, size, nonzero)
        column, row = (residues(chain_key, stream, step, size) for stream in (2, 3))
        current = product(current, current, diagonal, column, row)
        iterates.append(raw(current))
    return iterates


def raw(matrix):
    return b"".join(map(bytes, matrix))
