"""SIGTERM: every process stops by itself, soon, and leaves nothing behind."""

import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

STOP_S = 6.0
"""A busy machine takes twice the three seconds that a node is meant to."""


def test_busy_nodes_stop(net) -> None:
    """A job runs; without cancellation it would hold its node for seconds.

    The interrupted tasks are completed after everybody has come back. (Idle nodes stop, all at
    once, at the end of every network in these tests; that is checked there.)
    """
    tasks = [net.post(size=1500, iterations=8) for _ in range(3)]
    worker = net.until(lambda: net.busy(net.workers), "a worker has a job")
    validator = net.busy(net.validators, "leases_held")
    for name in (worker, validator, "market", "l1"):
        check_stop(net, name)
    net.heal()
    for task_id in tasks:
        net.completed(task_id)


def check_stop(net, name: str) -> None:
    """Exit code 0 in time, and no child outlives the node."""
    children = children_of(net.programs[name].pid)
    assert len(children) == (name in net.workers)
    code, seconds = net.stop(name)[name]
    sys.stdout.write(f"{name} stopped in {seconds:.2f} s\n")
    assert code == 0
    assert seconds < STOP_S
    assert [child for child in children if Path(f"/proc/{child}").exists()] == []


def children_of(pid: int) -> list[int]:
    """All processes below one."""
    below = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [child for text in below for child in (int(text), *children_of(int(text)))]
