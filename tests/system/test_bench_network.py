"""`tmnode bench network` runs and measures what it says; its figures are nobody's test."""

import pytest
import trio

from node.bench.network import bench_network

pytestmark = pytest.mark.system


async def test_every_figure_is_there() -> None:
    with trio.fail_after(120):
        report = await bench_network(0.5, 20, 1, 1)
    rows = {row.metric: row for row in report.rows}
    assert len(rows) == len(report.rows) == 14
    assert rows["gossip of 1 KB, 4 nodes, 200/s, lost"].value == 0
    assert all(row.value > 0 for metric, row in rows.items() if "lost" not in metric)
    assert [metric for metric, row in rows.items() if row.ratio] == [
        "request on a kept stream, p50",
        "request on a kept stream, p99",
        "bulk transfer, hashed at both ends",
    ]
