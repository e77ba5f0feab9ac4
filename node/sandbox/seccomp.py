"""A filter on system calls (seccomp): what Landlock cannot refuse, refused.

Landlock guards opening and changing files, but lets a process change modes, owners and times of
any file its user owns, truncate by path (before ABI 3), watch folders and connect to a Unix socket
in the file system. The filter answers those calls with EPERM, together with every socket, every
new process or program, everything that reaches into other processes, the kernel's larger and
seldom needed interfaces, and the one prctl by which the child could outlive its parent.

The driver of a GPU has one demand more: CUDA does not start where it cannot listen at a Unix
socket without a file, through which it would share memory with other processes. A child with a GPU
may make such a socket (`SOCK_SEQPACKET` only: what others listen at is reached by `connect`, or
without one by datagrams) and listen, but neither connect nor accept.

Calls newer than this list are answered ENOSYS, as by an older kernel; so is clone3, whose flags a
filter cannot see, and the C library falls back to clone, which may make threads only.
The numbers are those of x86-64; elsewhere there is no filter and the layer is reported missing.
"""

import ctypes
import errno
import os
import socket
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from node.sandbox import libc

_NEWEST_KNOWN = 456
_CLONE, _CLONE3, _PRCTL, _SOCKET = 56, 435, 157, 41
_CLONE_THREAD = 0x10000
_SOCKET_FLAGS = socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK

ONLY_ON_ITSELF: Mapping[str, int] = MappingProxyType(
    {
        "kill": 62,
        "rt_sigqueueinfo": 129,
        "sched_setparam": 142,
        "sched_setscheduler": 144,
        "sched_setaffinity": 203,
        "tgkill": 234,
        "rt_tgsigqueueinfo": 297,
        "prlimit64": 302,
        "sched_setattr": 314,
    }
)
"""Calls whose first argument must name the process itself (0 where that means itself)."""

_FILE_ATTRIBUTES = {
    "truncate": 76,
    "chmod": 90,
    "fchmod": 91,
    "chown": 92,
    "fchown": 93,
    "lchown": 94,
    "utime": 132,
    "setxattr": 188,
    "lsetxattr": 189,
    "fsetxattr": 190,
    "removexattr": 197,
    "lremovexattr": 198,
    "fremovexattr": 199,
    "utimes": 235,
    "inotify_init": 253,
    "inotify_add_watch": 254,
    "fchownat": 260,
    "futimesat": 261,
    "fchmodat": 268,
    "utimensat": 280,
    "inotify_init1": 294,
    "fanotify_init": 300,
    "name_to_handle_at": 303,
    "open_by_handle_at": 304,
    "fchmodat2": 452,
}
_NETWORK_AND_SHARED_MEMORY = {
    "shmget": 29,
    "shmat": 30,
    "socket": _SOCKET,
    "connect": 42,
    "accept": 43,
    "socketpair": 53,
    "semget": 64,
    "msgget": 68,
    "mq_open": 240,
    "mq_unlink": 241,
    "accept4": 288,
}
_PROCESSES = {
    "fork": 57,
    "vfork": 58,
    "execve": 59,
    "ptrace": 101,
    "setpgid": 109,
    "setsid": 112,
    "personality": 135,
    "setpriority": 141,
    "tkill": 200,
    "ioprio_set": 251,
    "migrate_pages": 256,
    "move_pages": 279,
    "process_vm_readv": 310,
    "process_vm_writev": 311,
    "kcmp": 312,
    "execveat": 322,
    "pidfd_send_signal": 424,
    "pidfd_open": 434,
    "pidfd_getfd": 438,
    "process_madvise": 440,
    "process_mrelease": 448,
}
_KERNEL = {
    "syslog": 103,
    "uselib": 134,
    "vhangup": 153,
    "modify_ldt": 154,
    "pivot_root": 155,
    "adjtimex": 159,
    "chroot": 161,
    "acct": 163,
    "settimeofday": 164,
    "mount": 165,
    "umount2": 166,
    "swapon": 167,
    "swapoff": 168,
    "reboot": 169,
    "sethostname": 170,
    "setdomainname": 171,
    "iopl": 172,
    "ioperm": 173,
    "init_module": 175,
    "delete_module": 176,
    "quotactl": 179,
    "clock_settime": 227,
    "kexec_load": 246,
    "add_key": 248,
    "request_key": 249,
    "keyctl": 250,
    "unshare": 272,
    "perf_event_open": 298,
    "clock_adjtime": 305,
    "setns": 308,
    "finit_module": 313,
    "kexec_file_load": 320,
    "bpf": 321,
    "userfaultfd": 323,
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "io_uring_register": 427,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "fspick": 433,
    "mount_setattr": 442,
    "quotactl_fd": 443,
}
REFUSED: Mapping[str, int] = MappingProxyType(
    _FILE_ATTRIBUTES | _NETWORK_AND_SHARED_MEMORY | _PROCESSES | _KERNEL
)
"""Calls answered EPERM, by name."""

# Classic BPF: load a 32-bit word of seccomp_data, compare, return. Offsets: 0 number, 4
# architecture, 16 and 24 low halves of the first and second argument (little-endian).
_LOAD, _JUMP_IF_EQUAL, _JUMP_IF_GREATER, _JUMP_IF_SET = 0x20, 0x15, 0x25, 0x45
_AND, _RETURN = 0x54, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT, _SECOND_ARGUMENT = 0, 4, 16, 24
_AUDIT_ARCH_X86_64 = 0xC000003E
_KILL_PROCESS, _ALLOW, _ERRNO = 0x80000000, 0x7FFF0000, 0x00050000
_REFUSE, _UNKNOWN = _ERRNO | errno.EPERM, _ERRNO | errno.ENOSYS
_SECCOMP_MODE_FILTER = 2

Instruction = tuple[int, int, int, int]

# socket(AF_UNIX, SOCK_SEQPACKET and any flags, …) is allowed, every other socket refused.
_LISTENER: Sequence[Instruction] = (
    (_LOAD, 0, 0, _FIRST_ARGUMENT),
    (_JUMP_IF_EQUAL, 0, 4, socket.AF_UNIX),
    (_LOAD, 0, 0, _SECOND_ARGUMENT),
    (_AND, 0, 0, ~_SOCKET_FLAGS & 0xFFFFFFFF),
    (_JUMP_IF_EQUAL, 0, 1, socket.SOCK_SEQPACKET),
    (_RETURN, 0, 0, _ALLOW),
    (_RETURN, 0, 0, _REFUSE),
)


class _Filter(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("jump_true", ctypes.c_uint8),
        ("jump_false", ctypes.c_uint8),
        ("operand", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("filter", ctypes.POINTER(_Filter)))


def program(process_id: int, *, with_driver: bool = False) -> list[Instruction]:
    """The filter for the process with this id, as (code, jump true, jump false, operand).

    `with_driver`: the driver of a GPU is to work in it.
    """
    instructions = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_JUMP_IF_EQUAL, 1, 0, _AUDIT_ARCH_X86_64),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, _NUMBER),
        (_JUMP_IF_GREATER, 0, 1, _NEWEST_KNOWN),  # the x32 calls too: their numbers have bit 30
        (_RETURN, 0, 0, _UNKNOWN),
        *_when(_CLONE3, (_RETURN, 0, 0, _UNKNOWN)),
        *_when(_CLONE, *_by_argument((_JUMP_IF_SET, 0, 1, _CLONE_THREAD))),
        *_when(_PRCTL, *_by_argument((_JUMP_IF_EQUAL, 1, 0, libc.PR_SET_PDEATHSIG))),
    ]
    if with_driver:
        instructions += _when(_SOCKET, *_LISTENER)
    itself = _by_argument((_JUMP_IF_EQUAL, 1, 0, 0), (_JUMP_IF_EQUAL, 0, 1, process_id))
    for number in sorted(ONLY_ON_ITSELF.values()):
        instructions += _when(number, *itself)
    for number in sorted(REFUSED.values()):
        instructions += _when(number, (_RETURN, 0, 0, _REFUSE))
    return [*instructions, (_RETURN, 0, 0, _ALLOW)]


def install(process_id: int, *, with_driver: bool = False) -> None:
    """Filter this process, whose id is given, for good. Needs no_new_privs; raises OSError."""
    machine = os.uname().machine
    if machine != "x86_64":
        raise OSError(errno.ENOSYS, f"no list of system calls for {machine}")
    apply(program(process_id, with_driver=with_driver))


def apply(instructions: Sequence[Instruction]) -> None:
    """Put the calling thread, and those it starts, under a filter; raises OSError."""
    array = (_Filter * len(instructions))(*(_Filter(*fields) for fields in instructions))
    whole = _Program(len(instructions), ctypes.cast(array, ctypes.POINTER(_Filter)))
    libc.prctl(libc.PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, libc.address(whole))


def _when(number: int, *then: Instruction) -> tuple[Instruction, ...]:
    return ((_JUMP_IF_EQUAL, 0, len(then), number), *then)


def _by_argument(*tests: Instruction) -> tuple[Instruction, ...]:
    """Load the first argument, test it, and fall into `allow`, or past it into `refuse`."""
    return (
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        *tests,
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    )
