import sys

import pytest

from gpu.cpu import CpuBackend, figures, inference_figures
from gpu.cpu.convolution_figures import Layer
from gpu.cuda import figures as cuda
from gpu.cuda.figures import Sizes
from node.bench import kernels
from node.bench.kernels import bench_kernels
from node.errors import Unavailable


def test_every_case_runs_and_says_who_the_peer_is(monkeypatch):
    small = dict.fromkeys(inference_figures.WEIGHTS, (64, 96))
    monkeypatch.setattr(inference_figures, "WEIGHTS", small)
    monkeypatch.setattr(inference_figures, "TOKENS", (70, 90))
    monkeypatch.setattr(figures, "ROWS", (4, 64))
    monkeypatch.setattr(figures, "RESIDUES", (16,))
    monkeypatch.setattr(figures, "RESNET50", (Layer(3, 8, 9, 7, 2), Layer(16, 8, 6, 3)))
    monkeypatch.setattr(figures, "TWO_THREADS", Layer(8, 8, 6, 1))
    result = bench_kernels(1, sizes=(20,))
    cases = [row for row in result.rows if not row.metric.startswith("load")]
    assert len(cases) == 26
    assert all(row.value > 0 and row.peer for row in cases)
    for row in cases:
        if row.peer_value is not None:
            assert abs(row.ratio - row.value / row.peer_value) < 1e-9 * row.ratio
    missing = {row.peer for row in cases if row.peer_value is None}
    assert missing <= {"torch", "torch._int_mm", "torch SDPA, heads copied"}
    assert all(row.ratio is None or row.target for row in cases if "two threads" in row.metric)


def test_torch_is_found_where_the_caller_says(monkeypatch, tmp_path):
    """A torch that says no more than that it was found."""
    (tmp_path / "torch.py").write_text("def set_num_threads(count): raise RecursionError(__file__)")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    with pytest.raises(RecursionError, match=str(tmp_path)):
        bench_kernels(1, sizes=(2,), peers=tmp_path)
    del sys.modules["torch"]


def test_a_gpu_has_cases_of_its_own(monkeypatch):
    """The CPU stands in for it."""
    small = Sizes((32,), (16,), (4, 64), (64, 64), 20, (40, 4, 2, 16), (2, 6, 5))
    monkeypatch.setattr(cuda, "LEAST_S", 0.0)
    monkeypatch.setattr(kernels, "Sizes", lambda: small)
    monkeypatch.setattr(kernels, "opened", lambda _device: CpuBackend())
    monkeypatch.setattr(kernels, "peer", lambda: None)
    result = bench_kernels(1, device="cuda:0")
    assert result.bench == "kernels of cuda:0"
    values = {row.metric: row.value for row in result.rows}
    assert values["one row times 64 x 64 bf16 weights"] > 0
    assert len(values) == 19


def test_a_gpu_that_is_not_there(monkeypatch):
    with pytest.raises(Unavailable, match="tmnode doctor"):
        bench_kernels(1, device="cuda:7")
