"""SIGTERM: every process stops by itself, soon, and leaves nothing behind."""

import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

STOP_S = 3.0


def test_all_at_once(net) -> None:
    check_stop(net, list(net.clients))


def test_busy_nodes_one_by_one(net) -> None:
    """Jobs run in both workers; without cancellation they would hold their nodes for seconds.

    The interrupted tasks are completed after everybody has come back.
    """
    tasks = [net.post(size=1500, iterations=20) for _ in range(4)]
    for name in net.workers:
        net.until(lambda name=name: net.count(name, "jobs_busy"), f"{name} has a job")
    for name in (*net.workers, *net.validators, "market"):
        seconds = check_stop(net, [name])
        sys.stdout.write(f"{name} stopped in {seconds:.2f} s\n")
        assert seconds < STOP_S, name
    net.heal()
    for task_id in tasks:
        net.completed(task_id)
    net.check_payments()


def check_stop(net, names: list[str]) -> float:
    """Exit code 0, and no child outlives its node; returns the longest seconds."""
    children = [child for name in names for child in children_of(net.programs[name].pid)]
    assert len(children) == len([name for name in names if name in net.workers])
    stopped = net.stop(*names)
    assert {name: code for name, (code, _) in stopped.items() if code} == {}
    assert [child for child in children if Path(f"/proc/{child}").exists()] == []
    return max(seconds for _, seconds in stopped.values())


def children_of(pid: int) -> list[int]:
    """All processes below one."""
    below = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [child for text in below for child in (int(text), *children_of(int(text)))]
