"""Operations on tokens: rotary position embedding and table look-up."""

from gpu.errors import OperandMismatch
from gpu.ops import calls
from gpu.ops.device import Device, require_shape, require_type, require_whole, result
from gpu.tensors import DType, Tensor

_TABLES = (DType.F32, DType.BF16, DType.F16)


class TokenOperations(Device):
    """rope, embedding."""

    def rope(
        self,
        x: Tensor,
        positions: Tensor,
        frequencies: Tensor,
        *,
        interleaved: bool = False,
        out: Tensor | None = None,
    ) -> Tensor:
        """Turn pairs of x (tokens, heads, size) by the angle position · frequency.

        Element i pairs with i + size / 2, or with its neighbour where `interleaved`. positions:
        i32 (tokens); frequencies: f32 (size / 2).
        """
        if len(x.shape) != 3 or x.shape[2] % 2:
            raise OperandMismatch("rope", "x is not (tokens, heads, even size)", x=x)
        tokens, heads, size = x.shape
        require_type("rope", DType.F32, x=x, frequencies=frequencies)
        require_type("rope", DType.I32, positions=positions)
        require_shape("rope", "positions", positions, tokens)
        require_shape("rope", "frequencies", frequencies, size // 2)
        require_whole("rope", x=x, out=out)
        out = result(self, "rope", out, DType.F32, x.shape)
        call = calls.Rope(
            *(x.address, positions.address, frequencies.address, out.address),
            *(tokens, heads, size, int(interleaved)),
        )
        self.launch("rope", call)
        return out

    def embedding(self, table: Tensor, indices: Tensor, *, out: Tensor | None = None) -> Tensor:
        """Rows of a table (f32, bf16 or f16) by i32 indices, as f32.

        Raises KernelFailed for an index that is no row.
        """
        require_type("embedding", *_TABLES, table=table)
        require_type("embedding", DType.I32, indices=indices)
        require_whole("embedding", table=table, indices=indices, out=out)
        if len(table.shape) != 2:
            raise OperandMismatch("embedding", "the table is a matrix", table=table)
        rows, width = table.shape
        out = result(self, "embedding", out, DType.F32, (*indices.shape, width))
        call = calls.Gather(
            *(table.address, indices.address, out.address),
            *(indices.size, rows, width, table.dtype.number),
        )
        self.launch("gather", call)
        return out
