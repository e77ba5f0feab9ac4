"""Sizes of tasks, and what a network plans and bounds by them."""

import pytest

from gpu.errors import PayloadError
from gpu.proofs.envelope import ProofSystem
from gpu.workloads import WORKLOADS
from node.config import load_network
from node.workloads import LEASE_PER_MIB_S, LEASE_PER_TERA_S, bounds_of, lease_s, limits_of, size_of

PROTOCOL = load_network().protocol
MIB = 2**20


def sized(**payload: object):
    workload = WORKLOADS["synthetic"]
    parameters = workload.parse({"seed": "s", **payload}, limits_of(PROTOCOL))
    return workload, parameters, size_of("synthetic", workload.canonical(parameters))


def test_what_is_opened_is_fetched_step_by_step() -> None:
    workload, parameters, size = sized(matrix_size=1024, iterations=128)
    assert (size.proof_system, size.proof_bytes) == (None, 0)
    assert size.work_units == workload.work_units(parameters)
    assert size.evidence_bytes == 128 * MIB


def test_a_proof_is_part_of_the_work_and_replaces_the_steps() -> None:
    workload, parameters, size = sized(matrix_size=1024, iterations=129, chains=2)
    assert (size.proof_system, size.proof_bytes) == (ProofSystem.CHAIN241, 129 * 1008)
    proving = workload.proof_units(parameters)
    assert size.work_units == workload.work_units(parameters) + proving
    assert proving > workload.work_units(parameters) // 10
    assert size.check_units == workload.check_units(parameters)
    assert (size.output_bytes, size.evidence_bytes) == (MIB, MIB + 129 * 1008)
    wanted = size.work_units / 1e12 * LEASE_PER_TERA_S + size.evidence_bytes / MIB * LEASE_PER_MIB_S
    assert lease_s(PROTOCOL, size) == pytest.approx(PROTOCOL.lease_s + 2 * wanted)


def test_a_verifiers_bounds_are_the_networks_limits() -> None:
    """What a task may ask for is what its validators do, and no more."""
    limits, bounds = limits_of(PROTOCOL), bounds_of(PROTOCOL)
    assert bounds.max_proof_bytes == limits.max_proof_bytes == PROTOCOL.max_proof_bytes
    assert bounds.max_units == limits.max_proof_units == PROTOCOL.max_proof_units
    assert bounds.max_output_bytes == limits.max_matrix_size**2
    _, _, largest = sized(matrix_size=8192, iterations=4_849)
    assert largest.check_units <= bounds.max_units
    with pytest.raises(PayloadError):
        sized(matrix_size=8192, iterations=4_850)
