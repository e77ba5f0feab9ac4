import pytest

from gpu.cpu import CpuBackend
from gpu.proofs.chain241.system import chain_of
from node.bench.challenge import NotProven, bench_challenge, fresh_challenge, rate
from node.errors import Unavailable


def test_a_device_is_rated_by_what_it_proves() -> None:
    result = bench_challenge(16, 3, runs=2)
    rows = {row.metric.rpartition(": ")[2]: row for row in result.rows}
    assert rows["work units"].value > rows["with the proof"].value > 0
    assert rows["proof"].value == 3 * (96 * 4 + 48)
    assert all(row.runs == 2 for row in result.rows)


def test_every_challenge_is_another_chain() -> None:
    keys = {chain_of(fresh_challenge(16, 3, beacon)).key for beacon in (None, None, bytes(32))}
    assert len(keys) == 3
    assert fresh_challenge(16, 3, bytes(32)).beacon == bytes(32)
    assert len(fresh_challenge(16, 3).beacon) == 32


class Miscounting(CpuBackend):
    """It forgets the diagonal."""

    def product(self, left, right, out, **more):
        super().product(left, right, out, **{**more, "scale": None})


def test_a_device_that_computes_wrongly_is_not_rated() -> None:
    with pytest.raises(NotProven, match="step 0"):
        rate(Miscounting(), fresh_challenge(16, 1))


def test_a_device_that_is_not_there() -> None:
    with pytest.raises(Unavailable) as refused:
        bench_challenge(16, 3, runs=1, device="cuda:77")
    assert refused.value.field == "cuda:77"
