"""torch on the same GPU: cuBLAS and cuDNN in plain float32, and copies of memory."""

from collections.abc import Callable
from functools import partial
from typing import Any

from gpu.cpu.cases import Run, torch


class Peer:
    """The same work as ours, each on data of its own."""

    def __init__(self, found: Any) -> None:
        found.backends.cuda.matmul.allow_tf32 = found.backends.cudnn.allow_tf32 = False
        found.backends.cudnn.benchmark = True  # it takes the fastest of its kernels
        self._torch = found

    def wait(self) -> None:
        """Until all that was started has ended."""
        self._torch.cuda.synchronize()

    def product(self, rows: int, inner: int, columns: int) -> Run:
        """cuBLAS, float32."""
        left, right = self._normal(rows, inner), self._normal(inner, columns)
        out = self._normal(rows, columns)
        return partial(self._torch.mm, left, right, out=out)

    def integer_product(self, size: int) -> Run:
        """cuBLASLt on signed bytes, the right side laid out as it likes it best."""
        left, right = (
            self._torch.randint(-128, 128, (size, size), dtype=self._torch.int8, device="cuda")
            for _ in range(2)
        )
        return partial(self._torch._int_mm, left, right.t())

    def copying(self, size: int) -> Run:
        """Reads and writes so many bytes in all."""
        source, target = (self._normal(size // 8) for _ in range(2))
        return partial(target.copy_, source)

    def attention(self, tokens: int, heads: int, cached: int, size: int) -> Run:
        """Causal, float32."""
        queries = self._normal(1, heads, tokens, size)
        keys = self._normal(1, cached, tokens, size)
        attend = self._torch.nn.functional.scaled_dot_product_attention
        return partial(attend, queries, keys, keys, is_causal=True, enable_gqa=True)

    def convolution(self, images: int, pixels: int, channels: int) -> Run:
        """cuDNN, 3 x 3, float32, channels last."""
        last = self._torch.channels_last
        x = self._normal(images, channels, pixels, pixels).to(memory_format=last)
        weights = self._normal(channels, channels, 3, 3).to(memory_format=last)
        return partial(self._torch.nn.functional.conv2d, x, weights, padding=1)

    def _normal(self, *shape: int) -> Any:
        return self._torch.randn(*shape, device="cuda")


Made = Callable[[Peer], Run]


def peer() -> Peer | None:
    """None where there is no torch, or none that sees a GPU."""
    found = torch()
    return Peer(found) if found is not None and found.cuda.is_available() else None
