"""The prover on a backend: in parts, within a memory bound, watched and cancelled."""

import hashlib

import pytest

from gpu.cpu import CpuBackend
from gpu.proofs.chain241.choice import best_arithmetic
from gpu.proofs.chain241.iterates import MemoryTooSmall
from gpu.proofs.chain241.prover import prove
from gpu.proofs.chain241.specification import out_digest
from gpu.proofs.chain241.system import Chain
from gpu.workloads.synthetic.proving import iterates_of

SIZE = 70
CHAIN = Chain(hashlib.sha256(b"prover").digest(), SIZE, 5)


def proven(backend, memory_bytes=100 * SIZE**2, tick=lambda _part: None):
    iterates = iterates_of(*CHAIN, backend, memory_bytes)
    out = out_digest(*CHAIN, backend.download(iterates.run()))
    return prove(*CHAIN, out, iterates, backend, best_arithmetic(), tick)


@pytest.fixture(scope="module")
def expected(prover):
    key, size, steps = CHAIN
    return prover.prove(key, prover.chain(key, size, steps))


@pytest.mark.parametrize("states", [3, 4, 5, 7])
def test_the_same_proof_in_less_memory(backend, expected, states):
    assert proven(backend, states * SIZE**2) == expected


def test_too_little_memory(backend):
    with pytest.raises(MemoryTooSmall, match="room for 2 states, 3 are needed"):
        proven(backend, 3 * SIZE**2 - 1)


@pytest.mark.parametrize("launch_macs", [1, 64 * 16 * SIZE, 10**12])
def test_the_same_proof_in_other_parts(expected, launch_macs):
    assert proven(CpuBackend(launch_macs=launch_macs)) == expected


def test_progress(expected):
    told = []
    assert proven(CpuBackend(launch_macs=64 * 16 * SIZE), tick=told.append) == expected
    assert told == sorted(told)
    assert len(told) == 5 * 4 * 2  # steps, products, parts of 64 rows or columns
    assert told[-1] == 0.8


class Cancelled(Exception):
    pass


@pytest.mark.parametrize("after", [1, 10, 30])
def test_cancelled(after):
    told = []

    def tick(part):
        told.append(part)
        if len(told) == after:
            raise Cancelled

    with pytest.raises(Cancelled):
        proven(CpuBackend(launch_macs=64 * 16 * SIZE), tick=tick)
    assert len(told) == after
