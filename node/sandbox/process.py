"""What a process does to itself: hide from others, die with its parent, give up privileges."""

import contextlib
import ctypes
import os
import resource
import signal
from pathlib import Path

from node.sandbox import libc

_CAPABILITY_VERSION_3 = 0x20080522
_PREFERRED_VICTIM = 500
_WHOLE, _DATA = 0, 5


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("process_id", ctypes.c_int))


class _CapabilitySets(ctypes.Structure):
    _fields_ = (("words", ctypes.c_uint32 * 6),)


def forbid_inspection() -> None:
    """Keep other processes of the same user from reading this one's memory and environment.

    The node calls this at its start, before it reads a key: without it a compute child of the same
    user could open `/proc/PID/mem`. Core files, which would hold the keys, are switched off too.
    """
    libc.prctl(libc.PR_SET_DUMPABLE, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def die_with_parent(parent_process_id: int) -> None:
    """Have the kernel kill this process when the parent's thread that started it ends."""
    libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_process_id:  # it ended before the line above
        os.kill(os.getpid(), signal.SIGKILL)


def drop_privileges() -> None:
    """Give up every capability for good; nothing this process executes can gain any."""
    libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
    libc.prctl(libc.PR_CAP_AMBIENT, libc.PR_CAP_AMBIENT_CLEAR_ALL)
    header = _CapabilityHeader(_CAPABILITY_VERSION_3, 0)
    nothing = _CapabilitySets()
    libc.capset(libc.address(header), libc.address(nothing))


def be_the_first_victim() -> None:
    """When the machine runs out of memory, let the kernel end this process before the node."""
    setting = Path("/proc/self/oom_score_adj")
    with contextlib.suppress(OSError):  # a container may not let it; nothing else rests on it
        if int(setting.read_text()) < _PREFERRED_VICTIM:
            setting.write_text(str(_PREFERRED_VICTIM))


def thread_count() -> int:
    """How many threads this process has, by the kernel's count."""
    return len(os.listdir("/proc/self/task"))


def limit_address_space(size_file: int, more_bytes: int) -> None:
    """Bound the address space to what is mapped now and `more_bytes`.

    `size_file` is an open `/proc/self/statm`, which a confined process could not open any more.
    """
    set_limit(resource.RLIMIT_AS, _taken(size_file, _WHOLE) + more_bytes)


def limit_private_memory(size_file: int, more_bytes: int) -> None:
    """Bound what is written and not shared to what there is now and `more_bytes`.

    For a process with a GPU: its driver reserves address space for all memory of the device, and
    more than any limit allows. What files hold and what is shared with the device is not counted.
    """
    set_limit(resource.RLIMIT_DATA, _taken(size_file, _DATA) + more_bytes)


def _taken(size_file: int, field: int) -> int:
    """Bytes, by a field of `/proc/self/statm`."""
    return int(os.pread(size_file, 128, 0).split()[field]) * resource.getpagesize()


def set_limit(which: int, value: int) -> None:
    """Set a resource limit for good, or keep the present one where it is lower already."""
    _, hard = resource.getrlimit(which)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(which, (value, value))
