"""The gradients of attention, from what its forward pass gave."""

import math

from gpu.errors import OperandMismatch
from gpu.ops import calls
from gpu.ops.device import Device, require_shape, require_type, require_whole
from gpu.tensors import DType, Tensor


class AttentionGradientOperations(Device):
    """attention_gradient."""

    def attention_gradient(
        self,
        queries: Tensor,
        keys: Tensor,
        values: Tensor,
        out: Tensor,
        statistics: Tensor,
        gradient: Tensor,
        *,
        causal: bool = True,
        first: int = 0,
        scale: float | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The gradients of queries, keys and values, from the gradient of the result `out`.

        queries, out: (rows, heads, size); keys, values: (keys, key heads, size), whose heads are
        shared by neighbouring ones. statistics: (rows, heads, 2), largest score and sum of powers.
        Where `causal`, row i sees keys 0 … first + i. `scale` is 1 / sqrt(size) if not given. The
        scores of a head are held whole: rows · keys floats, twice.
        """
        name = "attention_gradient"
        rows, heads, key_count, key_heads, size = _sizes(queries, keys)
        tensors = {"queries": queries, "keys": keys, "values": values, "out": out}
        require_type(name, DType.F32, **tensors, statistics=statistics, gradient=gradient)
        require_whole(name, **tensors, statistics=statistics, gradient=gradient)
        require_shape(name, "values", values, *keys.shape)
        require_shape(name, "out", out, *queries.shape)
        require_shape(name, "gradient", gradient, *queries.shape)
        require_shape(name, "statistics", statistics, rows, heads, 2)
        back = [self.empty(*t.shape, dtype=DType.F32) for t in (queries, keys, values)]
        call = calls.AttentionGradient(
            *(t.address for t in (queries, keys, values, out, gradient, statistics, *back)),
            *(rows, heads, key_count, key_heads, size, first),
            *(1.0 / math.sqrt(size) if scale is None else scale, int(causal)),
        )
        self.launch(name, call)
        return back[0], back[1], back[2]


def _sizes(queries: Tensor, keys: Tensor) -> tuple[int, int, int, int, int]:
    if len(queries.shape) == len(keys.shape) == 3:
        (rows, heads, size), (key_count, key_heads, key_size) = queries.shape, keys.shape
        if size == key_size and heads % key_heads == 0:
            return rows, heads, key_count, key_heads, size
    raise OperandMismatch(
        "attention_gradient",
        "no (rows, a multiple of the key heads, size) for (keys, key heads, size)",
        queries=queries,
        keys=keys,
    )
