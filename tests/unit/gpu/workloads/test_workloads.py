import pytest

from gpu.workloads import KINDS, WORKLOADS
from gpu.workloads.base import JobContext, Limits

PAYLOAD = {"seed": 1, "matrix_size": 100, "iterations": 3}


def test_every_workload_is_of_a_known_kind():
    assert set(WORKLOADS) <= set(KINDS)
    assert all(workload.kind == kind for kind, workload in WORKLOADS.items())


def test_the_table_cannot_be_changed():
    with pytest.raises(TypeError):
        WORKLOADS["mining"] = None


def test_costs_of_a_synthetic_task():
    synthetic = WORKLOADS["synthetic"]
    parameters = synthetic.parse(PAYLOAD, Limits())
    assert synthetic.plan(parameters) == 1
    assert synthetic.work_units(parameters) == 3_000_000
    assert synthetic.check_units(parameters) == 1_120_000
    assert synthetic.trace_bytes(parameters) == 30_000
    assert 2 * 100**2 < synthetic.memory_bytes(parameters) < 5_000_000


def test_costs_of_a_proven_one():
    synthetic = WORKLOADS["synthetic"]
    opened = synthetic.parse(PAYLOAD, Limits())
    proven = synthetic.parse(PAYLOAD | {"proof": True}, Limits())
    assert (synthetic.proof_system(opened), synthetic.proof_system(proven)) == (None, 3)
    assert synthetic.work_units(proven) == synthetic.work_units(opened)
    assert (synthetic.proof_units(opened), synthetic.proof_bytes(opened)) == (0, 0)
    assert synthetic.proof_units(proven) == 3 * (8 * 2**24 + 112 * 100**2)
    assert synthetic.proof_bytes(proven) == 3 * (96 * 7 + 48)
    assert (synthetic.trace_bytes(proven), synthetic.output_bytes(proven)) == (0, 10_000)


def test_each_chain_is_a_job_and_costs_are_of_one():
    synthetic = WORKLOADS["synthetic"]
    one, many = (synthetic.parse(PAYLOAD | {"chains": n}, Limits()) for n in (1, 7))
    assert (synthetic.plan(one), synthetic.plan(many)) == (1, 7)
    costs = ("work_units", "check_units", "trace_bytes", "step_bytes", "memory_bytes")
    for cost in (*costs, "proof_units", "proof_bytes", "output_bytes"):
        assert getattr(synthetic, cost)(one) == getattr(synthetic, cost)(many)


def test_a_run_is_found_valid(tmp_path, backend):
    synthetic = WORKLOADS["synthetic"]
    parameters = synthetic.from_canonical(synthetic.canonical(synthetic.parse(PAYLOAD, Limits())))
    job = JobContext("cpc-test", "task-1", "cpc1worker", 0)
    report = synthetic.run(job, parameters, backend, tmp_path, lambda _part: None)
    data = (tmp_path / "trace.bin").read_bytes()
    iterates = (data[start : start + 10_000] for start in range(0, len(data), 10_000))
    (output,) = report.outputs
    finding = synthetic.check(
        job, parameters, bytes(32), report.trace, report.digest, output.sha256, iterates, backend
    )
    assert finding.valid
