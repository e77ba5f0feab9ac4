"""Optimizers: one step, in place, element by element. docs/kernels.md has the order of operations.

Constants are computed in double precision and rounded once.
"""

from gpu.errors import OperandMismatch
from gpu.ops import calls
from gpu.ops.device import Device, require_apart, require_type, require_whole
from gpu.tensors import DType, Tensor


class OptimizerOperations(Device):
    """sgd, adamw."""

    def sgd(
        self,
        weights: Tensor,
        gradient: Tensor,
        moment: Tensor,
        *,
        rate: float,
        momentum: float = 0.0,
        decay: float = 0.0,
    ) -> None:
        """Stochastic gradient descent with momentum: weights and moment are moved.

        g = gradient + decay · weights; moment = momentum · moment + g; weights -= rate · moment.
        """
        _require_moved("sgd", gradient, weights=weights, moment=moment)
        call = calls.Update(weights.address, moment.address, None, gradient.address, weights.size)
        call.rate, call.decay, call.beta1 = rate, decay, momentum
        self.launch("sgd", call)

    def adamw(
        self,
        weights: Tensor,
        gradient: Tensor,
        first: Tensor,
        second: Tensor,
        *,
        step: int,
        rate: float,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        decay: float = 0.01,
    ) -> None:
        """Adam with decoupled decay (Loshchilov and Hutter, 2017): weights and moments are moved.

        `step` counts from 1. Powers of the betas are by squaring, so they need no library.
        """
        _require_moved("adamw", gradient, weights=weights, first=first, second=second)
        if step < 1:
            raise OperandMismatch("adamw", "steps count from 1", weights=weights)
        call = calls.Update(
            *(weights.address, first.address, second.address, gradient.address, weights.size),
            *(rate, 1.0 - rate * decay, *betas, *(1.0 - beta for beta in betas)),
            *(1.0 / (1.0 - power(beta, step)) for beta in betas),
            epsilon,
        )
        self.launch("adamw", call)


def power(base: float, exponent: int) -> float:
    """base^exponent by squaring, from the highest bit: the same double everywhere."""
    product = 1.0
    for bit in f"{exponent:b}":
        product *= product
        if bit == "1":
            product *= base
    return product


def _require_moved(name: str, gradient: Tensor, **moved: Tensor) -> None:
    require_type(name, DType.F32, gradient=gradient, **moved)
    require_whole(name, gradient=gradient, **moved)
    for operand, tensor in moved.items():
        if tensor.shape != gradient.shape:
            raise OperandMismatch(name, f"{operand} is not like the gradient", **moved)
        others = {other: there for other, there in moved.items() if other != operand}
        require_apart(name, tensor, gradient=gradient, **others)
