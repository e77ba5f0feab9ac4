"""Landlock: an allow list of paths, no TCP, no signals to others (Linux 5.13 and later).

The kernel says which version of the interface (ABI) it has; each version can refuse more. What
this one can refuse is refused, except reading below the readable paths, plain reading and writing
of files below the writable one, and the use of the devices that a program is given. Nothing may be
executed and no link, socket, pipe or device may be made, so a path written by the child never leads
outside of its scratch folder.

ABI 1 the file rights; 2 moving between folders; 3 truncation; 4 TCP; 5 device controls;
6 signals and abstract Unix sockets; 7 audit flags, not used. Source: Linux, landlock(7) and
Documentation/userspace-api/landlock.rst.
"""

import ctypes
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from node.sandbox import libc

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH = 1

WRITE_FILE, READ_FILE, READ_DIR = 1 << 1, 1 << 2, 1 << 3
REMOVE_DIR, REMOVE_FILE, MAKE_DIR, MAKE_REG = 1 << 4, 1 << 5, 1 << 7, 1 << 8
REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15

READABLE = READ_FILE | READ_DIR
WRITABLE = READABLE | WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | REFER | TRUNCATE
CONTROLLABLE = READABLE | WRITE_FILE | IOCTL_DEV
_OF_A_FILE = WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV

_FILE_RIGHTS_BY_ABI = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_BIND_AND_CONNECT_TCP = 0b11
_ABSTRACT_SOCKETS_AND_SIGNALS = 0b11


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def version() -> int:
    """The ABI of the running kernel, at least 1; OSError when there is no Landlock."""
    return libc.syscall(_CREATE_RULESET, 0, 0, _CREATE_RULESET_VERSION)


def file_rights(abi: int) -> int:
    """All rights over files that this ABI can refuse, as a mask."""
    return int((1 << _FILE_RIGHTS_BY_ABI[min(abi, 5)]) - 1)


def restrict(
    readable: Iterable[Path],
    writable: Path,
    devices: Iterable[Path] = (),
    settings: Iterable[Path] = (),
) -> int:
    """Confine the calling thread for good and return the ABI used; raises OSError.

    Files below `settings` may be written but not made. Needs no_new_privs. Paths that do not exist
    are left out.
    """
    abi = version()
    ruleset = _create(abi)
    try:
        for path in readable:
            _allow(ruleset, path, READABLE & file_rights(abi))
        for path in devices:
            _allow(ruleset, path, CONTROLLABLE & file_rights(abi))
        for path in settings:
            _allow(ruleset, path, (READABLE | WRITE_FILE | TRUNCATE) & file_rights(abi))
        _allow(ruleset, Path(os.devnull), WRITE_FILE | READ_FILE)
        _allow(ruleset, writable, WRITABLE & file_rights(abi))
        libc.syscall(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)
    return abi


def _create(abi: int) -> int:
    ruleset = _Ruleset(
        file_rights(abi),
        _BIND_AND_CONNECT_TCP if abi >= 4 else 0,
        _ABSTRACT_SOCKETS_AND_SIGNALS if abi >= 6 else 0,
    )
    # An older kernel takes the longer structure as long as what it does not know is zero.
    return libc.syscall(_CREATE_RULESET, libc.address(ruleset), ctypes.sizeof(ruleset), 0)


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(parent).st_mode):
            rights &= _OF_A_FILE
        rule = _PathBeneath(rights, parent)
        libc.syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, libc.address(rule), 0)
    finally:
        os.close(parent)
