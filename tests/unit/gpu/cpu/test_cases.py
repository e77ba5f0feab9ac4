import itertools

import pytest

from gpu.cpu import cases
from gpu.cpu.cases import Case, measured


@pytest.mark.parametrize(("slow_s", "runs"), [(0.0, 1), (1000.0, 4)])
def test_a_slow_peer_runs_once(monkeypatch, slow_s, runs):
    monkeypatch.setattr(cases, "SLOW_S", slow_s)
    monkeypatch.setattr(cases.time, "thread_time", itertools.count().__next__)
    ran = []
    case = Case("m", "u", 1.0, lambda: ran.append("ours"), "peer", lambda: ran.append("theirs"))
    assert measured(case, 3) == (1, 1)
    assert (ran.count("ours"), ran.count("theirs")) == (4, runs)


def test_a_case_without_a_peer():
    assert measured(Case("m", "u", 1.0, lambda: None), 2).theirs is None
