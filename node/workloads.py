"""The kinds of work of the `gpu` package, under this network's limits."""

from gpu.workloads.base import Limits
from node.config import ProtocolSection


def limits_of(protocol: ProtocolSection) -> Limits:
    """What a task may ask for on this network."""
    return Limits(
        max_matrix_size=protocol.max_matrix_size,
        max_iterations=protocol.max_iterations,
        max_trace_bytes=protocol.max_trace_bytes,
    )
