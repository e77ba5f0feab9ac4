"""Reading what a job has written, without trusting the names or the files.

A confined child cannot make links, pipes or devices; this is the second fence, for a child that
is not confined or has broken out: a file is opened only if it is a plain file, with one name,
directly in the scratch folder. Its digest is for the reader to check while reading.
"""

import os
import re
import stat
from pathlib import Path
from typing import BinaryIO

from gpu.workloads.base import RunReport
from node.sandbox.errors import OutputRejected

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def open_output(scratch: Path, file_name: str) -> BinaryIO:
    """Open a file that a job has written for reading; raises OutputRejected."""
    if not _NAME.fullmatch(file_name):
        raise OutputRejected(file_name, "not a plain file name")
    try:
        descriptor = _open_beneath(scratch, file_name)
    except OSError as error:
        raise OutputRejected(file_name, error.strerror or "cannot be opened") from error
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        os.close(descriptor)
        raise OutputRejected(file_name, "not a plain file with one name")
    return os.fdopen(descriptor, "rb")


def check_outputs(report: RunReport, scratch: Path) -> None:
    """Check that every reported file is there with the reported size; raises OutputRejected."""
    for output in report.files:
        with open_output(scratch, output.file_name) as file:
            size = os.fstat(file.fileno()).st_size
        if size != output.size:
            raise OutputRejected(output.file_name, f"{size} bytes, reported as {output.size}")


def _open_beneath(scratch: Path, file_name: str) -> int:
    folder = os.open(scratch, _FOLDER_FLAGS)
    try:
        return os.open(file_name, _FILE_FLAGS, dir_fd=folder)
    finally:
        os.close(folder)
