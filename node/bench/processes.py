"""What a process costs: CPU seconds and resident memory, from /proc."""

import os
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
MIB = 1 << 20


def cpu_s(pid: int) -> float:
    """CPU seconds of a process and the children it has waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / TICKS_PER_S


def children(pid: int) -> list[int]:
    """The process's direct children."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(field) for field in text.split()]


def tree_cpu_s(pid: int) -> float:
    """CPU seconds of a process and its running children."""
    return cpu_s(pid) + sum(cpu_s(child) for child in children(pid))


def resident_mib(pid: int) -> float:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MIB
