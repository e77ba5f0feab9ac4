"""The reduction orders of docs/kernels.md, from their text alone: fma by exact fractions."""

from fractions import Fraction

import numpy as np

F32 = np.float32


def nearest(value):
    """The float nearest to a fraction, ties to even; the value is within the finite range."""
    if value == 0:
        return F32(0.0)
    magnitude = abs(value)
    exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    while Fraction(2) ** exponent > magnitude:
        exponent -= 1
    while Fraction(2) ** (exponent + 1) <= magnitude:
        exponent += 1
    unit = Fraction(2) ** (max(exponent, -126) - 23)
    steps = round(magnitude / unit)  # Python rounds ties to even
    result = F32(float(steps * unit))
    return -result if value < 0 else result


def fma(a, b, c):
    exact = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))
    return nearest(exact) if exact else F32(float(a) * float(b) + float(c))


def c256(left, right, chunk=256):
    """left · right by the definition of the order C256."""
    out = np.zeros((left.shape[0], right.shape[1]), F32)
    for i, row in enumerate(left):
        for j, column in enumerate(right.T):
            total = F32(0.0)
            for first in range(0, len(row), chunk):
                sum_ = F32(0.0)
                for k in range(first, min(first + chunk, len(row))):
                    sum_ = fma(row[k], column[k], sum_)
                total = F32(total + sum_)
            out[i, j] = total
    return out


def l128(row):
    """The sum of a row by the definition of the order L128."""
    total = None
    for first in range(0, len(row), 4096):
        lanes = np.zeros(128, F32)
        run = row[first : first + 4096]
        for start in range(0, len(run), 128):
            part = run[start : start + 128]
            lanes[: len(part)] += part
        while len(lanes) > 1:
            lanes = lanes[0::2] + lanes[1::2]
        total = lanes[0] if total is None else F32(total + lanes[0])
    return total


def attention(query, keys, values, exp, block=64, superblock=16):
    """One row that sees all keys, by the definition of the order of attention; `query` is scaled.

    `exp` is a function of floats that is given.
    """
    parts = [
        block_part(query, keys[first : first + block], values[first : first + block], exp, block)
        for first in range(0, len(keys), block)
    ]
    groups = [parts[i : i + superblock] for i in range(0, len(parts), superblock)]
    _, total, weighted = folded([folded(group, exp) for group in groups], exp)
    factor = F32(F32(1.0) / total)
    return np.array([F32(value * factor) for value in weighted])


def block_part(query, keys, values, exp, block):
    scores = [chain(query, key) for key in keys]
    most = max(scores)
    powers = [exp(F32(score - most)) for score in scores]
    tree = np.array(powers + [F32(0.0)] * (block - len(powers)))
    while len(tree) > 1:
        tree = tree[: len(tree) // 2] + tree[len(tree) // 2 :]
    return most, tree[0], [chain(powers, column) for column in np.transpose(values)]


def chain(left, right):
    total = F32(0.0)
    for a, b in zip(left, right, strict=True):
        total = fma(a, b, total)
    return total


def folded(parts, exp):
    most, total, weighted = parts[0]
    for m, s, o in parts[1:]:
        larger = max(most, m)
        before, after = exp(F32(most - larger)), exp(F32(m - larger))
        most, total = larger, fma(total, before, F32(s * after))
        weighted = [fma(x, before, F32(y * after)) for x, y in zip(weighted, o, strict=True)]
    return most, total, weighted
