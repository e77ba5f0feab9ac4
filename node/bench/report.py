"""The form of a benchmark's result."""

import os
import platform
import statistics
import subprocess
from collections.abc import Sequence
from pathlib import Path

import msgspec


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One figure. `ratio` > 1 means ours is better than the peer's; `target` is the goal of the
    ratio, or of the value where there is no peer."""

    metric: str
    value: float
    unit: str
    runs: int
    peer: str = ""
    peer_value: float | None = None
    ratio: float | None = None
    target: float | None = None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One benchmark's figures."""

    bench: str
    commit: str
    machine: str
    rows: tuple[Row, ...]


def row(metric: str, value: float, unit: str, runs: int = 1, *, target: float | None = None) -> Row:
    """A figure without a peer."""
    return Row(metric=metric, value=value, unit=unit, runs=runs, target=target)


def report(bench: str, rows: Sequence[Row]) -> Report:
    """A report of this machine and commit."""
    return Report(bench=bench, commit=_commit(), machine=_machine(), rows=tuple(rows))


def lines(result: Report) -> list[str]:
    """The report as a table."""
    head = f"{result.bench} on {result.machine}, commit {result.commit}"
    body = [
        f"  {row.metric:<46}{row.value:>12.4g} {row.unit:<10}({row.runs} runs){_beside(row)}"
        for row in result.rows
    ]
    return [head, *body]


def _beside(row: Row) -> str:
    """How a figure stands to its peer and target, where there are any."""
    peer = "" if row.ratio is None else f"{row.ratio:.2f} of {row.peer}"
    target = "" if row.target is None else f"target {row.target:g}"
    found = ", ".join(filter(None, (peer, target)))
    return f"  {found}" if found else ""


def quantile(values: Sequence[float], part: float) -> float:
    """The value below which `part` of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def median(values: Sequence[float]) -> float:
    """The middle value."""
    return statistics.median(values)


def _machine() -> str:
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}"


def _commit() -> str:
    command = ["git", "rev-parse", "--short", "HEAD"]
    folder = Path(__file__).parent
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
