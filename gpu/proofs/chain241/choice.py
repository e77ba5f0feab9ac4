"""Which arithmetic computes on this machine."""

from gpu.errors import KernelsUnavailable
from gpu.proofs.chain241.arithmetic import Arithmetic
from gpu.proofs.chain241.integers import IntegerArithmetic
from gpu.proofs.chain241.native import NativeArithmetic


def best_arithmetic() -> Arithmetic:
    """The native arithmetic where it is built, else NumPy's integers."""
    try:
        return NativeArithmetic()
    except KernelsUnavailable:
        return IntegerArithmetic()
