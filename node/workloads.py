"""The kinds of work of the `gpu` package, under this network's limits."""

from functools import lru_cache

import msgspec

from gpu.proofs.envelope import ProofSystem
from gpu.proofs.statement import Bounds
from gpu.workloads import WORKLOADS
from gpu.workloads.base import Limits
from node.config import ProtocolSection

MAX_STEPS = 65_536
"""Steps of one job, whatever the network file says: their digests travel in one message."""

SLOW_CORE_S_PER_TERA = 100

LEASE_PER_TERA_S = 240
"""Seconds of lease for each 10^12 work units, beyond the base: half of it for one attempt."""
LEASE_PER_MIB_S = 0.5
"""The same for each MiB that each validator of the quorum fetches."""


class TaskSize(msgspec.Struct, frozen=True):
    """How large a task is: so many jobs, each of this size."""

    jobs: int
    work_units: int
    """What a worker does for a job, its proof included."""
    check_units: int
    evidence_bytes: int
    """What a validator fetches to check a job: its steps, or its outputs and the proof of them."""
    output_bytes: int
    proof_system: ProofSystem | None
    """What proves the results; None if their steps are opened and checked."""
    proof_bytes: int


def limits_of(protocol: ProtocolSection) -> Limits:
    """What a task may ask for on this network."""
    return Limits(
        max_matrix_size=protocol.max_matrix_size,
        max_iterations=min(protocol.max_iterations, MAX_STEPS),
        max_trace_bytes=protocol.max_trace_bytes,
        max_jobs=protocol.max_jobs,
        max_proof_bytes=protocol.max_proof_bytes,
        max_proof_units=protocol.max_proof_units,
    )


def bounds_of(protocol: ProtocolSection) -> Bounds:
    """The most that verifying a proof may take on this network."""
    return Bounds(
        max_proof_bytes=protocol.max_proof_bytes,
        max_output_bytes=protocol.max_matrix_size**2,
        max_units=protocol.max_proof_units,
    )


def slow_core_s(work_units: int) -> float:
    """Seconds that a slow CPU core takes for so many multiply-adds: what leases are planned by."""
    return work_units / 1e12 * SLOW_CORE_S_PER_TERA


@lru_cache(maxsize=1024)
def size_of(kind: str, parameters: bytes) -> TaskSize:
    """The size of a task of a known kind. Raises PayloadError for bytes that are no parameters."""
    workload = WORKLOADS[kind]
    decoded = workload.from_canonical(parameters)
    proof_bytes, output_bytes = workload.proof_bytes(decoded), workload.output_bytes(decoded)
    return TaskSize(
        jobs=workload.plan(decoded),
        work_units=workload.work_units(decoded) + workload.proof_units(decoded),
        check_units=workload.check_units(decoded),
        evidence_bytes=output_bytes + proof_bytes if proof_bytes else workload.trace_bytes(decoded),
        output_bytes=output_bytes,
        proof_system=workload.proof_system(decoded),
        proof_bytes=proof_bytes,
    )


def lease_s(protocol: ProtocolSection, size: TaskSize) -> float:
    """How long a market leases a task, if its deadline is not sooner."""
    work_s = size.work_units / 1e12 * LEASE_PER_TERA_S
    evidence_s = size.evidence_bytes / 2**20 * LEASE_PER_MIB_S
    return protocol.lease_s + size.jobs * (work_s + evidence_s)


def jury_s(protocol: ProtocolSection, appeal_s: float, size: TaskSize) -> float:
    """How long a jury has for a task, at most `appeal_s`: twice a lease, so that somebody else can
    begin in the seat of a juror that does not come to an end."""
    return min(appeal_s, 2 * lease_s(protocol, size))
