import ctypes

import pytest

from gpu import selftest
from gpu.cpu import CpuBackend
from gpu.errors import KernelFailed


def test_goldens_are_the_references(oracle):
    assert {name: selftest.digest(oracle, name) for name in selftest.CASES} == (
        selftest.known_goldens()
    )


def test_every_instruction_set_passes(backend):
    assert list(selftest.findings(backend)) == [
        selftest.Finding(operation, "") for operation in selftest.CASES
    ]
    assert selftest.first_failure(backend) is None


class Faulty(CpuBackend):
    """One kernel of this device gives a wrong bit, another an error."""

    def launch(self, operation, call):
        super().launch(operation, call)
        if operation == "rmsnorm":
            ctypes.c_uint32.from_address(call.out).value ^= 1
        if operation == "rope":
            raise KernelFailed("rope", "an instruction was illegal")


def test_one_wrong_bit_names_its_operation():
    problems = [finding for finding in selftest.findings(Faulty()) if finding.problem]
    assert problems == [
        ("norms", "its bits differ from the reference's"),
        ("rope", "rope: an instruction was illegal"),
    ]
    assert selftest.first_failure(Faulty()).operation == "norms"


def test_an_operation_without_golden_is_no_operation(oracle):
    with pytest.raises(KeyError):
        list(selftest.findings(oracle, {}))
