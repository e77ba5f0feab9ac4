"""Giving up rights, in the order in which the steps still allow each other.

Some layers depend on the system: they are tried, and `Layers` says which hold and why the others
do not; the parent decides whether that is enough. The rest (limits, capabilities, death with the
parent) works everywhere and raises if it does not.

A child that is given the files of a GPU gets what CUDA's driver does not start without, too: it
names its threads, which is writing files below `/proc/self/task`, and listens at a socket (see
`seccomp`).

`landlock` and `seccomp` are each without a stand-in. The others repeat what seccomp refuses:
sockets (`namespaces`, `landlock-tcp`) and signals to others (`landlock-scope`).
"""

import os
import resource
from collections.abc import Callable
from pathlib import Path

import msgspec

from node.sandbox import landlock, libc, process, seccomp
from node.sandbox.launch import Launch, ResourceLimits

LANDLOCK, LANDLOCK_TCP, LANDLOCK_SCOPE = "landlock", "landlock-tcp", "landlock-scope"
NAMESPACES, SECCOMP = "namespaces", "seccomp"

_THREADS = "/proc/self/task"
_NEWUSER, _NEWIPC, _NEWNET = 0x10000000, 0x08000000, 0x40000000
_LANDLOCK_ABI = {LANDLOCK: 1, LANDLOCK_TCP: 4, LANDLOCK_SCOPE: 6}


class Layers(msgspec.Struct, frozen=True):
    """The layers that hold, and for each other one what the system said."""

    active: tuple[str, ...]
    missing: dict[str, str]


def confine(launch: Launch) -> Layers:
    """Confine this process, which must have one thread, for good; raises OSError."""
    with_driver = bool(launch.devices)
    if process.thread_count() != 1:
        raise RuntimeError("confinement reaches one thread only, and there are others")
    process.be_the_first_victim()
    _limit_resources(launch.limits)
    os.umask(0o077)
    problems = _attempt(NAMESPACES, lambda: leave_namespaces(launch.limits.threads))
    process.drop_privileges()
    process.die_with_parent(launch.parent_process_id)
    problems |= _restrict_paths(launch)
    problems |= _attempt(SECCOMP, lambda: seccomp.install(os.getpid(), with_driver=with_driver))
    active = tuple(name for name, problem in problems.items() if not problem)
    return Layers(active, {name: text for name, text in problems.items() if text})


def leave_namespaces(threads: int) -> None:
    """Enter a network without interfaces and an IPC space of one's own; raises OSError.

    In a user namespace of its own, too, where the system allows one: the limit on threads then
    counts this process alone. (Elsewhere it counts all of the user's and would hit bystanders.)
    """
    try:
        libc.unshare(_NEWUSER | _NEWNET | _NEWIPC)
    except OSError:
        libc.unshare(_NEWNET | _NEWIPC)
    else:
        process.set_limit(resource.RLIMIT_NPROC, threads)


def _restrict_paths(launch: Launch) -> dict[str, str]:
    try:
        abi = landlock.restrict(
            map(Path, launch.readable),
            Path(launch.scratch_root),
            devices=map(Path, launch.devices),
            settings=[_kept(_THREADS)] if launch.devices else [],
        )
    except OSError as error:
        return dict.fromkeys(_LANDLOCK_ABI, _describe(error))
    return {
        name: "" if abi >= needed else f"the kernel has Landlock ABI {abi}, this needs {needed}"
        for name, needed in _LANDLOCK_ABI.items()
    }


def _kept(folder: str) -> Path:
    """The folder, opened for good: what the kernel has forgotten and finds anew under /proc is
    another one to Landlock."""
    os.open(folder, os.O_PATH | os.O_CLOEXEC)
    return Path(folder)


def _attempt(layer: str, step: Callable[[], None]) -> dict[str, str]:
    try:
        step()
    except OSError as error:
        return {layer: _describe(error)}
    return {layer: ""}


def _describe(error: OSError) -> str:
    return error.strerror or str(error)


def _limit_resources(limits: ResourceLimits) -> None:
    process.set_limit(resource.RLIMIT_CORE, 0)
    process.set_limit(resource.RLIMIT_FSIZE, limits.file_bytes)
    process.set_limit(resource.RLIMIT_NOFILE, limits.open_files)
