"""`tmnode bench devchain` runs and measures what it says; its figures are nobody's test."""

import pytest
import trio

from node.bench.devchain import bench_devchain

pytestmark = pytest.mark.system


async def test_every_figure_is_there() -> None:
    with trio.fail_after(120):
        report = await bench_devchain(1200)
    assert [row.metric for row in report.rows] == [
        "admitted, 1 s blocks",
        "included, 1 s blocks",
        "admitted, 0.5 s blocks",
        "included, 0.5 s blocks",
    ]
    assert all(row.value > 0 for row in report.rows)
