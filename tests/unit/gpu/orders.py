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
