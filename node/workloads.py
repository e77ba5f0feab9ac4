"""The kinds of work of the `gpu` package, under this network's limits."""

from gpu.workloads.base import Limits
from node.config import ProtocolSection

MAX_STEPS = 65_536
"""Steps of one job, whatever the network file says: their digests travel in one message."""

SLOW_CORE_S_PER_TERA = 100


def limits_of(protocol: ProtocolSection) -> Limits:
    """What a task may ask for on this network."""
    return Limits(
        max_matrix_size=protocol.max_matrix_size,
        max_iterations=min(protocol.max_iterations, MAX_STEPS),
        max_trace_bytes=protocol.max_trace_bytes,
    )


def slow_core_s(work_units: int) -> float:
    """Seconds that a slow CPU core takes for so many multiply-adds: what leases are planned by."""
    return work_units / 1e12 * SLOW_CORE_S_PER_TERA
