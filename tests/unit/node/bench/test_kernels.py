from gpu.cpu import figures
from gpu.cpu.convolution_figures import Layer
from node.bench.kernels import bench_kernels


def test_every_case_runs_and_says_who_the_peer_is(monkeypatch):
    monkeypatch.setattr(figures, "DECODE", (64, 96))
    monkeypatch.setattr(figures, "ROWS", (4, 64))
    monkeypatch.setattr(figures, "RESIDUES", (16,))
    monkeypatch.setattr(figures, "RESNET50", (Layer(3, 8, 9, 7, 2), Layer(16, 8, 6, 3)))
    monkeypatch.setattr(figures, "TWO_THREADS", Layer(8, 8, 6, 1))
    result = bench_kernels(1, sizes=(20,))
    cases = [row for row in result.rows if not row.metric.startswith("load")]
    assert len(cases) == 18
    assert all(row.value > 0 and row.peer for row in cases)
    for row in cases:
        if row.peer_value is not None:
            assert abs(row.ratio - row.value / row.peer_value) < 1e-9 * row.ratio
    missing = {row.peer for row in cases if row.peer_value is None}
    assert missing <= {"torch._int_mm", "torch"}
