"""A run that proves: what it leaves, within its memory, watched and cancelled."""

import hashlib
import time
from itertools import pairwise

import pytest

from gpu.cpu import CpuBackend
from gpu.proofs import systems
from gpu.proofs.chain241 import cost
from gpu.proofs.envelope import ProofEnvelope, ProofSystem
from gpu.proofs.statement import Statement
from gpu.workloads.base import JobContext, OutputFile
from gpu.workloads.synthetic import Synthetic, SyntheticParameters, meter, run
from gpu.workloads.synthetic.parameters import canonical

JOB = JobContext("cpc-test", "task-1", "cpc1worker", 65_537)
PARAMETERS = SyntheticParameters("seed", 20, 5, proven=True)
LAUNCH = 64 * 16 * 20


class Stop(Exception):
    pass


def ignore(_part):
    pass


def statement_of(parameters, digest, job=JOB):
    return Statement(
        job.chain_id,
        job.task_id,
        job.worker,
        job.nonce,
        "synthetic",
        canonical(parameters),
        digest,
    )


def finding_of(folder, report, parameters=PARAMETERS, job=JOB):
    proof = (folder / "proof").read_bytes()
    kind, payload = systems.payload_of(proof)
    params_id = systems.SYSTEMS[ProofSystem.CHAIN241].params_id
    empty = (bytes(32), bytes(32), bytes(64), bytes(64), bytes(33))
    envelope = ProofEnvelope(ProofSystem.CHAIN241, *empty, params_id, kind, payload)
    statement = statement_of(parameters, report.digest, job)
    matrix = (folder / "matrix").read_bytes()
    return systems.verify(envelope, statement, matrix, artifact=proof)


def test_the_same_result_as_without_a_proof_and_no_iterates(backend, tmp_path):
    (tmp_path / "opened").mkdir()
    opened = SyntheticParameters("seed", 20, 5)
    expected = run.run(JOB, opened, backend, tmp_path / "opened", ignore)
    report = Synthetic().run(JOB, PARAMETERS, backend, tmp_path, ignore)
    assert (report.outputs, report.digest) == (expected.outputs, expected.digest)
    assert (report.work_units, report.trace) == (5 * 20**3, ())
    proof = (tmp_path / "proof").read_bytes()
    assert report.proof == OutputFile("proof", "proof", len(proof), hashlib.sha256(proof).digest())
    assert len(proof) == Synthetic().proof_bytes(PARAMETERS)
    assert not (tmp_path / "trace.bin").exists()
    assert expected.proof is None


def test_its_proof_is_one_of_this_job_and_no_other(backend, tmp_path):
    report = Synthetic().run(JOB, PARAMETERS, backend, tmp_path, ignore)
    assert finding_of(tmp_path, report).valid
    others = [
        (PARAMETERS, JobContext("cpc-test", "task-2", "cpc1worker", 65_537)),
        (PARAMETERS, JobContext("cpc-test", "task-1", "cpc1other", 65_537)),
        (PARAMETERS, JobContext("cpc-test", "task-1", "cpc1worker", 65_538)),
        (SyntheticParameters("seed2", 20, 5, proven=True), JOB),
    ]
    for parameters, job in others:
        assert not finding_of(tmp_path, report, parameters, job).valid


@pytest.mark.parametrize("states", [3, 4, 7])
def test_the_same_proof_in_less_memory(backend, tmp_path, monkeypatch, states):
    report = Synthetic().run(JOB, PARAMETERS, backend, tmp_path, ignore)
    monkeypatch.setattr(cost, "PROVER_STATES", states)
    monkeypatch.setattr(cost, "PROVER_BYTES", 0)
    assert cost.states_kept(20, 5) == states
    again = Synthetic().run(JOB, PARAMETERS, backend, tmp_path, ignore)
    assert (again.proof, again.digest) == (report.proof, report.digest)


def test_memory_is_what_the_prover_keeps():
    synthetic = Synthetic()
    large = SyntheticParameters("s", 4096, 1000, proven=True)
    assert 2**30 <= synthetic.memory_bytes(large) < 2**30 + 2**24
    assert synthetic.memory_bytes(SyntheticParameters("s", 4096, 1000)) < 2**26


@pytest.mark.parametrize("states", [16, 3])
def test_progress_rises_from_nothing_to_all(tmp_path, monkeypatch, states):
    """The chain, the proof, and what is computed again count as what they take."""
    monkeypatch.setattr(meter, "_REPORT_EVERY_S", 0.0)
    monkeypatch.setattr(cost, "PROVER_STATES", states)
    monkeypatch.setattr(cost, "PROVER_BYTES", 0)
    parts = []
    Synthetic().run(JOB, PARAMETERS, CpuBackend(launch_macs=LAUNCH), tmp_path, parts.append)
    assert parts[0] == 0.0
    assert parts[-1] == 1.0
    assert parts == sorted(parts)
    assert len(parts) > 5 * (1 + 4)  # steps of the chain, and the prover's four products
    assert all(later - part < 0.25 for part, later in pairwise(parts))


@pytest.mark.parametrize("part", [0.0, 0.001, 0.5, 0.79])
def test_whatever_progress_raises_ends_the_run(tmp_path, monkeypatch, part):
    """In the chain, and in the proof, which takes most of the time of so small a chain."""
    monkeypatch.setattr(meter, "_REPORT_EVERY_S", 0.0)

    def stop(done):
        if done >= part:
            raise Stop

    with pytest.raises(Stop):
        Synthetic().run(JOB, PARAMETERS, CpuBackend(launch_macs=LAUNCH), tmp_path, stop)
    assert not (tmp_path / "proof").exists()


def test_it_can_be_cancelled_within_a_quarter_of_a_second(tmp_path):
    """CPU time between two looks, so that a busy machine does not fail it."""
    parameters = SyntheticParameters("seed", 1024, 2, proven=True)
    looks = [time.process_time()]

    def look(_part):
        looks.append(time.process_time())

    Synthetic().run(JOB, parameters, CpuBackend(), tmp_path, look)
    assert max(later - look for look, later in pairwise(looks)) < 0.25
