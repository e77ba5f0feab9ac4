"""The synthetic workload: a chain of matrix products over F_241, exact on every device.

`parameters` reads the payload, `key` binds the chain to its job, `chain` grows it. `run` writes it
down and `freivalds` checks it; or `proving` leaves a proof of it, which `gpu.proofs` verifies.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gpu.backend import Backend
from gpu.proofs.chain241 import cost
from gpu.proofs.envelope import ProofSystem
from gpu.proofs.statement import Cost
from gpu.workloads.base import Finding, JobContext, Limits, Progress, RunReport
from gpu.workloads.synthetic import freivalds, parameters, proving, run
from gpu.workloads.synthetic.parameters import SyntheticParameters

__all__ = ["Synthetic", "SyntheticParameters"]


class Synthetic:
    """The Workload of kind `synthetic`; what each method means is said there."""

    kind = "synthetic"

    def parse(self, payload: Mapping[str, object], limits: Limits) -> SyntheticParameters:
        """Refuses unknown fields, and anything but small text and plain integers."""
        return parameters.parse(payload, limits)

    def canonical(self, p: SyntheticParameters) -> bytes:
        """Length-prefixed fields behind a tag."""
        return parameters.canonical(p)

    def from_canonical(self, data: bytes) -> SyntheticParameters:
        """The inverse; limits of a network are not looked at."""
        return parameters.from_canonical(data)

    def check_limits(self, p: SyntheticParameters, limits: Limits) -> None:
        """Size, iterations, how many chains, and the bytes of all iterates or of the proof."""
        parameters.check_limits(p, limits)

    def plan(self, p: SyntheticParameters) -> int:
        """One job a chain: none of its steps can begin before the last has ended."""
        return p.chains

    def work_units(self, p: SyntheticParameters) -> int:
        """n^3 a step of one chain, as all that follow."""
        return parameters.work_units(p)

    def proof_system(self, p: SyntheticParameters) -> ProofSystem | None:
        """chain241, where a proof is asked for or the iterates are too many."""
        return ProofSystem.CHAIN241 if p.proven else None

    def proof_units(self, p: SyntheticParameters) -> int:
        """The prover's products and rounds, and the iterates that it computes again."""
        return cost.proving_units(p.matrix_size, p.iterations) if p.proven else 0

    def proof_bytes(self, p: SyntheticParameters) -> int:
        """About a kilobyte a step."""
        return self._verifying(p).proof_bytes if p.proven else 0

    def check_units(self, p: SyntheticParameters) -> int:
        """32 n^2 a step, and 16 n^2; for a proof what its verifier takes."""
        return self._verifying(p).units if p.proven else freivalds.check_units(p)

    def trace_bytes(self, p: SyntheticParameters) -> int:
        """n^2 a step."""
        return 0 if p.proven else parameters.trace_bytes(p)

    def output_bytes(self, p: SyntheticParameters) -> int:
        """X_T."""
        return p.matrix_size**2

    def step_bytes(self, p: SyntheticParameters) -> int:
        """n^2: one iterate."""
        return p.matrix_size**2

    def memory_bytes(self, p: SyntheticParameters) -> int:
        """Two iterates, or those that a prover keeps, and what the kernels pack at a time."""
        states = cost.states_kept(p.matrix_size, p.iterations) if p.proven else 2
        return states * p.matrix_size**2 + 1024 * p.matrix_size + 4 * 1024 * 1024

    def _verifying(self, p: SyntheticParameters) -> Cost:
        return cost.verifying(p.matrix_size, p.iterations)

    def run(
        self,
        job: JobContext,
        p: SyntheticParameters,
        backend: Backend[Any],
        scratch: Path,
        progress: Progress,
    ) -> RunReport:
        """Leaves `matrix`; and `trace.bin` with BLAKE3-256 of X_1 … X_T for digests, or `proof`."""
        how = proving.run if p.proven else run.run
        return how(job, p, backend, scratch, progress)

    def check(
        self,
        job: JobContext,
        p: SyntheticParameters,
        seed: bytes,
        report_trace: Sequence[bytes],
        digest: bytes,
        output_sha256: bytes,
        iterates: Iterator[bytes],
        backend: Backend[Any],
    ) -> Finding:
        """Freivalds' check of every step."""
        return freivalds.check(job, p, seed, report_trace, digest, output_sha256, iterates, backend)
