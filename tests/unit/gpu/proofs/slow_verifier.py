"""The verifier of chain241 in plain Python integers, written from the specification alone.

It shares no code with `gpu`: no NumPy, no tables folded in place, every extension evaluated by its
definition as a sum. An element is a list of 16 integers. Key, key stream and `out` come from the
plain-Python chain beside the tests of the workload, which is handed in as `reference`.
"""

import hashlib

P = 241
ONE = [1] + [0] * 15
ZERO = [0] * 16


def add(*elements):
    return [sum(coefficients) % P for coefficients in zip(*elements, strict=True)]


def negative(a):
    return [-c % P for c in a]


def mul(a, b):
    """Schoolbook; x^16 becomes 7 as soon as it appears."""
    result = [0] * 16
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            degree = i + j
            if degree < 16:
                result[degree] += x * y
            else:
                result[degree - 16] += 7 * x * y
    return [c % P for c in result]


def times(number, a):
    return [number * c % P for c in a]


def bits(k, m):
    """Most significant first."""
    return [k >> (m - 1 - j) & 1 for j in range(m)]


def eq_bits(point, k):
    """eq(point, k): the product of r_j where bit j of k is set, else 1 - r_j."""
    result = ONE
    for r, bit in zip(point, bits(k, len(point)), strict=True):
        result = mul(result, r if bit else add(ONE, negative(r)))
    return result


def eq_points(x, y):
    result = ONE
    for a, b in zip(x, y, strict=True):
        neither = mul(add(ONE, negative(a)), add(ONE, negative(b)))
        result = mul(result, add(mul(a, b), neither))
    return result


def extension(vector, point):
    """The multilinear extension of a vector of residues, by its definition."""
    total = ZERO
    for k, entry in enumerate(vector):
        total = add(total, times(entry, eq_bits(point, k)))
    return total


def matrix_extension(flat, n, a, b):
    columns = [eq_bits(b, k) for k in range(n)]
    total = ZERO
    for i in range(n):
        row = ZERO
        for k in range(n):
            row = add(row, times(flat[i * n + k], columns[k]))
        total = add(total, mul(eq_bits(a, i), row))
    return total


class Transcript:
    def __init__(self, enc):
        self.enc = enc
        self.h = hashlib.blake2b(b"\x00" + enc(b"tmnode/chain241/v1/proof")).digest()

    def absorb(self, label, data):
        self.h = hashlib.blake2b(b"\x01" + self.h + self.enc(label, data)).digest()

    def challenge(self, label):
        kept, j = [], 0
        while len(kept) < 16:
            counter = bytes((j & 255, j >> 8 & 255, j >> 16 & 255, j >> 24))
            block = hashlib.blake2b(b"\x02" + self.h + self.enc(label) + counter).digest()
            kept.extend(byte for byte in block if byte <= 240)
            j += 1
        self.h = hashlib.blake2b(b"\x03" + self.h + self.enc(label)).digest()
        return kept[:16]


class Messages:
    def __init__(self, proof):
        self.rest = proof

    def element(self):
        taken, self.rest = self.rest[:16], self.rest[16:]
        return list(taken)


def sum_check(transcript, messages, claim, rounds):
    point = []
    for _ in range(rounds):
        c0, c2 = messages.element(), messages.element()
        transcript.absorb(b"round", bytes(c0 + c2))
        r = transcript.challenge(b"r")
        c1 = add(claim, negative(c0), negative(c0), negative(c2))
        claim = add(c0, mul(c1, r), mul(c2, mul(r, r)))
        point.append(r)
    return point, claim


def step_back(reference, key, n, t, transcript, messages, a, b, y):
    """The next (a, b, y), or None."""
    m = len(a)
    d = reference.residues(key, 1, t, n, reference.nonzero)
    u, v = (reference.residues(key, stream, t, n) for stream in (2, 3))
    y = add(y, negative(mul(extension(u, a), extension(v, b))))
    rho, y = sum_check(transcript, messages, y, m)
    alpha, beta = messages.element(), messages.element()
    if mul(alpha, beta) != y:
        return None
    transcript.absorb(b"ab", bytes(alpha + beta))
    gamma = transcript.challenge(b"gamma")
    point, y = sum_check(transcript, messages, add(alpha, mul(gamma, beta)), 2 * m)
    sigma, tau = point[:m], point[m:]
    x = messages.element()
    h = ZERO
    for k in range(n):
        h = add(h, times(d[k], mul(eq_bits(rho, k), eq_bits(tau, k))))
    left = mul(eq_points(a, sigma), h)
    right = mul(gamma, mul(eq_points(rho, sigma), eq_points(b, tau)))
    if mul(x, add(left, right)) != y:
        return None
    transcript.absorb(b"x", bytes(x))
    return sigma, tau, x


def verify(reference, key, n, steps, last, proof):
    m = 0
    while 2**m < n:
        m += 1
    if len(proof) != steps * (96 * m + 48) or len(last) != n * n:
        return False
    if any(byte > 240 for byte in proof) or any(byte > 240 for byte in last):
        return False
    transcript, messages = Transcript(reference.enc), Messages(proof)
    transcript.absorb(b"stmt", reference.out(key, n, steps, bytes(last)))
    a = [transcript.challenge(b"a") for _ in range(m)]
    b = [transcript.challenge(b"b") for _ in range(m)]
    claim = a, b, matrix_extension(last, n, a, b)
    for t in range(steps - 1, -1, -1):
        claim = step_back(reference, key, n, t, transcript, messages, *claim)
        if claim is None:
            return False
    a, b, y = claim
    return matrix_extension(reference.residues(key, 0, 0, n * n), n, a, b) == y
