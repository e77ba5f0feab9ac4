"""The convolutions of ResNet-50 (He, Zhang, Ren, Sun, 2015), each distinct layer once.

The peer is torch, whose convolutions are oneDNN's, in the layout that is faster for the layer.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from gpu.cpu.backend import CpuBackend
from gpu.cpu.host import as_tensor
from gpu.ops.convolution import result_size
from gpu.tensors import DType

BATCH = 8
Run = Callable[[], object]


class Layer(NamedTuple):
    """A square kernel over square images; padded so that stride 1 keeps the size."""

    channels: int
    filters: int
    size: int
    kernel: int
    stride: int = 1

    def __str__(self) -> str:
        step = f"/{self.stride}" if self.stride > 1 else ""
        return f"{self.kernel}x{self.kernel}{step} {self.channels}-{self.filters} @{self.size}"

    @property
    def padding(self) -> int:
        """Pixels of padding on each side."""
        return self.kernel // 2

    @property
    def result(self) -> int:
        """Height and width of the result."""
        return result_size(self.size, self.kernel, self.stride, self.padding)


RESNET50 = (
    Layer(3, 64, 224, 7, 2),
    *(Layer(*layer) for layer in ((64, 64, 56, 1), (64, 64, 56, 3), (64, 256, 56, 1))),
    *(Layer(*layer) for layer in ((256, 64, 56, 1), (256, 128, 56, 1), (128, 128, 56, 3, 2))),
    *(Layer(*layer) for layer in ((256, 512, 56, 1, 2), (128, 512, 28, 1), (512, 128, 28, 1))),
    *(Layer(*layer) for layer in ((128, 128, 28, 3), (512, 256, 28, 1), (256, 256, 28, 3, 2))),
    *(Layer(*layer) for layer in ((512, 1024, 28, 1, 2), (256, 1024, 14, 1), (1024, 256, 14, 1))),
    *(Layer(*layer) for layer in ((256, 256, 14, 3), (1024, 512, 14, 1), (512, 512, 14, 3, 2))),
    *(Layer(*layer) for layer in ((1024, 2048, 14, 1, 2), (512, 2048, 7, 1), (2048, 512, 7, 1))),
    Layer(512, 512, 7, 3),
)


class Sides(NamedTuple):
    """Runs of one layer: its name, how much work it is in GFLOP, ours and the peer's."""

    metric: str
    amount: float
    ours: Run
    peer: str
    theirs: Run | None


def sides(backend: CpuBackend, layer: Layer, torch: Any) -> Iterator[Sides]:
    """Forward and backward of a layer; the first layer of a network has no input gradient."""
    random = np.random.default_rng(layer.channels)
    image = random.standard_normal((BATCH, layer.size, layer.size, layer.channels), np.float32)
    shape = (layer.kernel, layer.kernel, layer.channels, layer.filters)
    weights = random.standard_normal(shape, np.float32)
    ours = _ours(backend, layer, image, weights)
    theirs = _theirs(layer, image, weights, torch) if torch else {}
    work = 2e-9 * BATCH * layer.result**2 * weights.size
    for way in ("forward", "backward"):
        peer, run = theirs.get(way, ("torch", None))
        times = 2 if way == "backward" and layer.channels > 3 else 1
        yield Sides(f"{layer} {way}, batch {BATCH}", times * work, ours[way], peer, run)


def _ours(backend: CpuBackend, layer: Layer, image: Any, weights: Any) -> dict[str, Run]:
    x, w, size = as_tensor(image), as_tensor(weights), (layer.size, layer.size)
    out = backend.empty(BATCH, layer.result, layer.result, layer.filters, dtype=DType.F32)
    back, slope = (
        backend.empty(*image.shape, dtype=DType.F32),
        backend.empty(*weights.shape, dtype=DType.F32),
    )
    steps = {"stride": layer.stride, "padding": layer.padding}
    gradient = as_tensor(_like(out.shape))

    def backward() -> None:
        if layer.channels > 3:
            backend.conv2d_input(gradient, w, size, **steps, out=back)
        backend.conv2d_weights(x, gradient, (layer.kernel, layer.kernel), **steps, out=slope)

    return {"forward": partial(backend.conv2d, x, w, **steps, out=out), "backward": backward}


def _theirs(layer: Layer, image: Any, weights: Any, torch: Any) -> dict[str, tuple[str, Run]]:
    """Of each way the faster layout."""
    chosen: dict[str, tuple[str, Run]] = {}
    best: dict[str, float] = {}
    for name, memory in (
        ("default", torch.contiguous_format),
        ("channels_last", torch.channels_last),
    ):
        for way, run in _torch_runs(layer, image, weights, torch, memory).items():
            seconds = min(_seconds(run) for _ in range(3))
            if seconds < best.get(way, float("inf")):
                best[way], chosen[way] = seconds, (f"torch {name}", run)
    return chosen


def _torch_runs(layer: Layer, image: Any, weights: Any, torch: Any, memory: Any) -> dict[str, Run]:
    x = torch.from_numpy(image).permute(0, 3, 1, 2).contiguous(memory_format=memory)
    w = torch.from_numpy(weights).permute(3, 2, 0, 1).contiguous(memory_format=memory)
    shape = (BATCH, layer.result, layer.result, layer.filters)
    gradient = torch.from_numpy(_like(shape)).permute(0, 3, 1, 2).contiguous(memory_format=memory)
    steps = ([layer.stride] * 2, [layer.padding] * 2, [1, 1], False, [0, 0], 1)
    wanted = [layer.channels > 3, True, False]
    return {
        "forward": partial(torch.convolution, x, w, None, *steps),
        "backward": partial(
            torch.ops.aten.convolution_backward, gradient, x, w, None, *steps, wanted
        ),
    }


def _like(shape: tuple[int, ...]) -> Any:
    return np.random.default_rng(1).standard_normal(shape, np.float32)


def _seconds(run: Run) -> float:
    began = time.thread_time()
    run()
    return time.thread_time() - began
