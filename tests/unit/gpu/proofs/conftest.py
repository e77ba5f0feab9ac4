import importlib.util
from math import isqrt
from pathlib import Path

import numpy as np
import pytest

from gpu.cpu import CpuBackend
from gpu.proofs.chain241.integers import IntegerArithmetic
from gpu.proofs.chain241.native import NativeArithmetic, available_isas
from gpu.proofs.chain241.prover import prove
from gpu.proofs.chain241.specification import out_digest
from gpu.proofs.chain241.verifier import Rejected, verify

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def slow():
    """The plain-Python verifier beside this file."""
    spec = importlib.util.spec_from_file_location("slow_verifier", HERE / "slow_verifier.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session", params=["integers", *available_isas()])
def arithmetic(request):
    """Every implementation that this machine runs."""
    return IntegerArithmetic() if request.param == "integers" else NativeArithmetic(request.param)


class Prover:
    """Chains of small matrices, their proofs, and provers that lie."""

    def __init__(self, reference):
        self._reference = reference
        self.backend = CpuBackend()
        self._inputs = {}
        self.arithmetic = NativeArithmetic()

    def chain(self, key, size, steps):
        """X_0 … X_T as arrays that may be changed."""
        iterates = self._reference.chain(key, size, steps)
        return [np.frombuffer(x, np.uint8).reshape(size, size).copy() for x in iterates]

    def onward(self, key, iterates, first):
        """Compute the iterates after `first` again, honestly."""
        size = len(iterates[0])
        for step in range(first, len(iterates) - 1):
            inputs = self.inputs(key, size, step)
            iterates[step + 1] = self.step(iterates[step], *inputs)

    def inputs(self, key, size, step):
        """D_t, u_t, v_t, to be changed at will."""
        if (key, size, step) not in self._inputs:
            nonzero = self._reference.residues(key, 1, step, size, self._reference.nonzero)
            column, row = (self._reference.residues(key, stream, step, size) for stream in (2, 3))
            self._inputs[key, size, step] = nonzero, column, row
        return [np.array(part, np.int64) for part in self._inputs[key, size, step]]

    def step(self, current, diagonal, column, row):
        wide = current.astype(np.int64)
        return ((wide * diagonal) @ wide + np.outer(column, row)).astype(np.int64) % 241

    def prove(self, key, iterates, out=None):
        """The protocol followed to the letter, from these iterates, true or not."""
        steps, size = len(iterates) - 1, len(iterates[0])
        raw = [np.ascontiguousarray(x).astype(np.uint8).tobytes() for x in iterates]
        out = out or out_digest(key, size, steps, raw[-1])
        return self.proof_of(key, raw, out, self.backend, self.arithmetic)

    def proof_of(self, key, raw, out, backend, arithmetic):
        """From the bytes of X_0 … X_T."""
        size, steps = isqrt(len(raw[0])), len(raw) - 1
        arrays = [backend.upload(iterate, size, size) for iterate in raw]
        return prove(key, size, steps, out, arrays.__getitem__, backend, arithmetic)

    def refused(self, key, iterates):
        """Whether such a proof is refused."""
        return bool(self.refusal(key, iterates, self.prove(key, iterates)))

    def lie(self, iterate, place, added=1):
        """Make one entry of an iterate false."""
        i, j = divmod(place % iterate.size, len(iterate))
        iterate[i, j] = (int(iterate[i, j]) + 1 + added % 240) % 241

    def refusal(self, key, iterates, proof, arithmetic=None):
        """Why the verifier refuses this proof of the last iterate; empty if it does not."""
        last = np.ascontiguousarray(iterates[-1]).astype(np.uint8).tobytes()
        size, steps = len(iterates[0]), len(iterates) - 1
        try:
            out = out_digest(key, size, steps, last)
            verify(key, size, steps, out, last, proof, arithmetic or self.arithmetic)
        except Rejected as refusal:
            return str(refusal)
        return ""


@pytest.fixture(scope="session")
def prover(reference):
    return Prover(reference)
