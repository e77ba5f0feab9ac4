"""The golden self-test: every operation of a device on small operands, against digests of the right
bits. A device that fails is not used: `tmnode doctor` and workers say which operation it was.

`goldens.json` holds the digests of the reference (`csrc/reference`); tests compare them.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from gpu.errors import GpuError
from gpu.ops import Operations
from gpu.selftest.cases import CASES

GOLDENS = Path(__file__).parent / "goldens.json"


class Finding(NamedTuple):
    """What came of an operation; `problem` is empty when its bits are right."""

    operation: str
    problem: str


def findings(device: Operations, goldens: Mapping[str, str] | None = None) -> Iterator[Finding]:
    """Test one operation after the other."""
    expected = known_goldens() if goldens is None else goldens
    for operation in CASES:
        try:
            right = digest(device, operation) == expected[operation]
        except GpuError as error:
            yield Finding(operation, str(error))
        else:
            yield Finding(operation, "" if right else "its bits differ from the reference's")


def first_failure(device: Operations) -> Finding | None:
    """The first operation whose bits are wrong."""
    return next((finding for finding in findings(device) if finding.problem), None)


def known_goldens() -> dict[str, str]:
    """The digest of each operation."""
    digests: dict[str, str] = json.loads(GOLDENS.read_text())
    return digests


def digest(device: Operations, operation: str) -> str:
    """SHA-256 of all results of an operation's case, in hexadecimal."""
    whole = hashlib.sha256()
    for tensor in CASES[operation](device):
        whole.update(device.download(tensor))
    return whole.hexdigest()
