import hashlib

import pytest
from blake3 import blake3

from gpu.workloads.base import JobContext, OutputFile
from gpu.workloads.synthetic import SyntheticParameters, meter, run
from gpu.workloads.synthetic.key import chain_key

JOB = JobContext("cpc-test", "task-1", "cpc1worker", 65_537)
PARAMETERS = SyntheticParameters("seed", 20, 5)


class Stop(Exception):
    pass


def ignore(_part):
    pass


def test_files_and_digests_are_those_of_the_chain(backend, reference, tmp_path):
    report = run.run(JOB, PARAMETERS, backend, tmp_path, ignore)
    iterates = reference.chain(chain_key(JOB, PARAMETERS), 20, 5)
    digest = hashlib.sha256(iterates[-1]).digest()
    assert (tmp_path / "trace.bin").read_bytes() == b"".join(iterates[1:])
    assert (tmp_path / "matrix").read_bytes() == iterates[-1]
    assert report.trace == tuple(blake3(x).digest() for x in iterates[1:])
    assert report.outputs == (OutputFile("matrix", "matrix", 400, digest),)
    assert report.digest == reference.out(chain_key(JOB, PARAMETERS), 20, 5, iterates[-1])
    assert report.work_units == 5 * 20**3
    assert report.seconds > 0


def test_another_attempt_is_another_chain(backend, tmp_path):
    again = JobContext(JOB.chain_id, JOB.task_id, JOB.worker, JOB.nonce + 1)
    first, second = (run.run(job, PARAMETERS, backend, tmp_path, ignore) for job in (JOB, again))
    assert not set(first.trace) & set(second.trace)


def test_progress_rises_from_nothing_to_all(backend, tmp_path, monkeypatch):
    monkeypatch.setattr(meter, "_REPORT_EVERY_S", 0.0)
    parts = []
    run.run(JOB, PARAMETERS, backend, tmp_path, parts.append)
    assert parts[0] == 0.0
    assert parts[-1] == 1.0
    assert all(0.0 <= part <= 1.0 for part in parts)
    assert parts == sorted(parts)
    assert len(parts) > 2 * 5


def test_progress_is_not_told_more_often_than_useful(backend, tmp_path):
    parts = []
    report = run.run(JOB, SyntheticParameters("seed", 2, 300), backend, tmp_path, parts.append)
    assert len(parts) <= 3 + report.seconds / 0.05


@pytest.mark.parametrize("calls", [1, 2, 9])
def test_whatever_progress_raises_ends_the_run(backend, tmp_path, monkeypatch, calls):
    monkeypatch.setattr(meter, "_REPORT_EVERY_S", 0.0)
    parts = []

    def stop_at_last(part):
        parts.append(part)
        if len(parts) == calls:
            raise Stop

    with pytest.raises(Stop):
        run.run(JOB, PARAMETERS, backend, tmp_path, stop_at_last)
    assert not (tmp_path / "matrix").exists()
    assert len(parts) == calls
