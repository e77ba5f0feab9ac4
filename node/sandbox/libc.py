"""The few calls of the C library that Python does not offer, with errno turned into OSError."""

import ctypes
import os

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_SECCOMP = 22
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4

Argument = int | ctypes.c_void_p


def syscall(number: int, *arguments: Argument) -> int:
    """The system call `number`; raises OSError."""
    return _checked(_libc.syscall(ctypes.c_long(number), *map(_word, arguments)))


def prctl(option: int, *arguments: Argument) -> int:
    """prctl(2), unused arguments zero as the kernel demands; raises OSError."""
    words = [_word(argument) for argument in arguments]
    words += [ctypes.c_ulong(0)] * (4 - len(words))
    return _checked(_libc.prctl(ctypes.c_int(option), *words))


def unshare(flags: int) -> None:
    """unshare(2): leave namespaces; raises OSError."""
    _checked(_libc.unshare(ctypes.c_int(flags)))


def capset(header: ctypes.c_void_p, sets: ctypes.c_void_p) -> None:
    """capset(2): set the calling thread's capabilities; raises OSError."""
    _checked(_libc.capset(header, sets))


def address(structure: ctypes.Structure) -> ctypes.c_void_p:
    """The address of a structure, which the caller keeps alive during the call."""
    return ctypes.c_void_p(ctypes.addressof(structure))


def _word(argument: Argument) -> ctypes.c_ulong | ctypes.c_void_p:
    return ctypes.c_ulong(argument) if isinstance(argument, int) else argument


def _checked(result: int) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result
