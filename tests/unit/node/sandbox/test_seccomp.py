import errno
import re
from pathlib import Path

import pytest

from node.sandbox import seccomp

HEADER = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
X86_64 = 0xC000003E
ALLOW, KILL = 0x7FFF0000, 0x80000000
REFUSED, UNKNOWN = 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS
OWN = 4321
CLONE, CLONE3, PRCTL, SOCKET = 56, 435, 157, 41


def verdict(
    number: int,
    argument: int = 0,
    second: int = 0,
    architecture: int = X86_64,
    with_driver: bool = False,
) -> int:
    """Run the filter as the kernel would."""
    words = {0: number, 4: architecture, 16: argument, 24: second}
    program, at, accumulator = seccomp.program(OWN, with_driver=with_driver), 0, 0
    while True:
        code, jump_true, jump_false, operand = program[at]
        at += 1
        match code:
            case 0x20:
                accumulator = words[operand]
            case 0x15:
                at += jump_true if accumulator == operand else jump_false
            case 0x25:
                at += jump_true if accumulator > operand else jump_false
            case 0x45:
                at += jump_true if accumulator & operand else jump_false
            case 0x54:
                accumulator &= operand
            case 0x06:
                return operand


def test_ordinary_calls_pass():
    read, write, openat, mmap, futex, exit_group = 0, 1, 257, 9, 202, 231
    assert {verdict(n) for n in (read, write, openat, mmap, futex, exit_group)} == {ALLOW}


@pytest.mark.parametrize("number", seccomp.REFUSED.values(), ids=seccomp.REFUSED)
def test_listed_calls_are_refused(number):
    assert verdict(number, OWN) == REFUSED


def test_a_driver_may_listen_at_a_socket_of_one_kind():
    listen, bind, sequenced, stream, datagram = 50, 49, 5, 1, 2
    unix, internet, netlink, flags = 1, 2, 16, 0x80800
    for kind in (sequenced, sequenced | flags):
        assert verdict(SOCKET, unix, kind, with_driver=True) == ALLOW
        assert verdict(SOCKET, unix, kind) == REFUSED
    for domain, kind in (
        *((unix, stream), (unix, datagram), (unix, stream | flags), (unix, sequenced | 0x100)),
        *((internet, sequenced), (internet, stream), (netlink, sequenced), (netlink, 3)),
    ):
        assert verdict(SOCKET, domain, kind, with_driver=True) == REFUSED
    assert verdict(bind, with_driver=True) == verdict(listen, with_driver=True) == ALLOW


@pytest.mark.parametrize("name", sorted(set(seccomp.REFUSED) - {"socket"}))
def test_a_driver_may_do_nothing_else(name):
    assert verdict(seccomp.REFUSED[name], OWN, with_driver=True) == REFUSED
    assert {"connect", "accept", "accept4", "socketpair"} < set(seccomp.REFUSED)


@pytest.mark.parametrize("number", seccomp.ONLY_ON_ITSELF.values(), ids=seccomp.ONLY_ON_ITSELF)
def test_some_calls_reach_the_process_itself_only(number):
    assert verdict(number, OWN) == verdict(number, 0) == ALLOW
    assert verdict(number, OWN - 1) == verdict(number, 1) == verdict(number, 0xFFFFFFFF) == REFUSED


def test_clone_makes_threads_only():
    thread, child_exit_signal = 0x10000 | 0x3D0F00, 17
    assert verdict(CLONE, thread) == ALLOW
    assert verdict(CLONE, child_exit_signal) == REFUSED
    assert verdict(CLONE3) == UNKNOWN


def test_the_child_cannot_arrange_to_outlive_its_parent():
    set_death_signal, set_name = 1, 15
    assert verdict(PRCTL, set_death_signal) == REFUSED
    assert verdict(PRCTL, set_name) == ALLOW


def test_newer_calls_and_those_of_x32_do_not_exist():
    assert verdict(457) == verdict(10_000) == verdict(0x40000000 | 257) == UNKNOWN


def test_another_architecture_ends_the_process():
    assert verdict(0, architecture=0x40000003) == KILL


@pytest.mark.parametrize("with_driver", [False, True])
def test_the_program_fits_the_kernel(with_driver):
    program = seccomp.program(OWN, with_driver=with_driver)
    assert len(program) <= 4096
    for at, (code, jump_true, jump_false, _) in enumerate(program[:-1]):
        assert at + 1 + max(jump_true, jump_false) < len(program), code


@pytest.mark.skipif(not HEADER.exists(), reason="no kernel headers here")
def test_the_numbers_are_those_of_the_kernel_headers():
    found = dict(re.findall(r"__NR_(\w+)\s+(\d+)", HEADER.read_text()))
    for name, number in {**seccomp.REFUSED, **seccomp.ONLY_ON_ITSELF}.items():
        assert found.get(name, str(number)) == str(number), name
