"""The kinds of work this software can run and check.

A new kind is a new folder, and one line here.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from gpu.workloads.base import Workload
from gpu.workloads.synthetic import Synthetic

KINDS = ("inference", "training", "rendering", "synthetic")

WORKLOADS: Mapping[str, Workload[Any]] = MappingProxyType({"synthetic": Synthetic()})

__all__ = ["KINDS", "WORKLOADS", "Workload"]
