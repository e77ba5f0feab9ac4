"""The convolutions of ResNet-50 (He, Zhang, Ren, Sun, 2015), each distinct layer once.

The peer is torch, whose convolutions are oneDNN's, in the layout that is faster for the layer.
"""

import time
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from gpu.cpu.backend import CpuBackend
from gpu.cpu.cases import Case, Run
from gpu.cpu.host import as_tensor
from gpu.ops.convolution import result_size
from gpu.tensors import DType

BATCH = 8


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
    def first(self) -> bool:
        """Whether it reads what no other layer makes: colours."""
        return self.channels == 3

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
TWO_THREADS = Layer(128, 128, 28, 3)


def sides(backend: CpuBackend, layer: Layer) -> tuple[Case, Case]:
    """Forward and backward. The first layer of a network has no input gradient."""
    image, weights, gradient = _operands(layer)
    x, w, g = (as_tensor(array) for array in (image, weights, gradient))
    out, back, slope = (backend.empty(*t.shape, dtype=DType.F32) for t in (g, x, w))
    size, kernel = (layer.size, layer.size), (layer.kernel, layer.kernel)
    steps = {"stride": layer.stride, "padding": layer.padding}

    def backward() -> None:
        if not layer.first:
            backend.conv2d_input(g, w, size, **steps, out=back)
        backend.conv2d_weights(x, g, kernel, **steps, out=slope)

    forward = partial(backend.conv2d, x, w, **steps, out=out)
    work = 2e-9 * BATCH * layer.result**2 * weights.size
    return (
        Case(f"{layer} forward, batch {BATCH}", "GFLOP/s", work, forward, "torch"),
        Case(
            f"{layer} backward, batch {BATCH}",
            "GFLOP/s",
            work if layer.first else 2 * work,
            backward,
            "torch",
        ),
    )


def beside_torch(backend: CpuBackend, layer: Layer, torch: Any) -> Iterator[Case]:
    """The same with torch's runs, each in the layout that is faster, where torch is there."""
    for number, side in enumerate(sides(backend, layer)):
        if torch is None:
            yield side
            continue
        runs = {
            f"torch {name}": _torch_runs(layer, torch, memory)[number]
            for name, memory in (
                ("default", torch.contiguous_format),
                ("channels_last", torch.channels_last),
            )
        }
        peer = min(runs, key=lambda name: min(_seconds(runs[name]) for _ in range(3)))
        yield side._replace(peer=peer, theirs=runs[peer])


def _torch_runs(layer: Layer, torch: Any, memory: Any) -> tuple[Run, Run]:
    image, weights, gradient = (torch.from_numpy(array) for array in _operands(layer))
    x, g = (t.permute(0, 3, 1, 2).contiguous(memory_format=memory) for t in (image, gradient))
    w = weights.permute(3, 2, 0, 1).contiguous(memory_format=memory)
    steps = ([layer.stride] * 2, [layer.padding] * 2, [1, 1], False, [0, 0], 1)
    wanted = [not layer.first, True, False]
    gradients = torch.ops.aten.convolution_backward
    return partial(torch.convolution, x, w, None, *steps), partial(
        gradients, g, x, w, None, *steps, wanted
    )


def _operands(layer: Layer) -> tuple[Any, Any, Any]:
    """Images, weights, and the result's gradient."""
    random = np.random.default_rng(layer.channels)
    shapes = (
        (BATCH, layer.size, layer.size, layer.channels),
        (layer.kernel, layer.kernel, layer.channels, layer.filters),
        (BATCH, layer.result, layer.result, layer.filters),
    )
    image, weights, gradient = (random.standard_normal(shape, np.float32) for shape in shapes)
    return image, weights, gradient


def _seconds(run: Run) -> float:
    began = time.thread_time()
    run()
    return time.thread_time() - began
