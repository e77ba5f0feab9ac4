import re
from pathlib import Path

import pytest

from node.sandbox import landlock

HEADER = Path("/usr/include/linux/landlock.h")


def test_each_version_refuses_more_and_never_what_it_does_not_know():
    assert [landlock.file_rights(abi).bit_length() for abi in (1, 2, 3, 4, 5, 6, 7, 9)] == [
        13,
        14,
        15,
        15,
        16,
        16,
        16,
        16,
    ]


def test_nothing_is_granted_that_would_lead_out_of_the_scratch_folder():
    execute, make_char, make_sock, make_fifo, make_block, make_symlink = (
        1 << bit for bit in (0, 6, 9, 10, 11, 12)
    )
    forbidden = execute | make_char | make_sock | make_fifo | make_block | make_symlink
    assert not (landlock.READABLE | landlock.WRITABLE | landlock.CONTROLLABLE) & forbidden


@pytest.mark.skipif(not HEADER.exists(), reason="no kernel headers here")
def test_the_rights_are_those_of_the_kernel_headers():
    found = re.findall(r"LANDLOCK_ACCESS_FS_(\w+)\s+\(1ULL << (\d+)\)", HEADER.read_text())
    for name, bit in found:
        assert getattr(landlock, name, 1 << int(bit)) == 1 << int(bit), name
