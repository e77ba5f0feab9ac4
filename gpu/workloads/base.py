"""What every kind of work is made of: pure functions from a payload to bytes, and a check of them.

Nothing here sends, stores or waits. `run` writes files into a scratch folder it is given, `check`
judges what somebody else wrote and never raises for it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec

from gpu.backend import Backend
from gpu.proofs.envelope import ProofSystem

Parameters = TypeVar("Parameters", bound=msgspec.Struct)

# Told the part done, 0..1, at least every 250 ms of work; whatever it raises cancels the work.
Progress = Callable[[float], None]


class Limits(msgspec.Struct, frozen=True):
    """The most that one task may ask for on a network."""

    max_matrix_size: int = 65_536
    max_iterations: int = 65_536
    max_trace_bytes: int = 128 * 1024 * 1024
    """Steps of one job that are opened to validators; beyond, its result is to be proven."""
    max_jobs: int = 64
    max_proof_bytes: int = 16 * 1024 * 1024
    max_proof_units: int = 100_000_000_000
    """What verifying one proof may take."""


class JobContext(msgspec.Struct, frozen=True):
    """Whose work this is; `nonce` = job index · 2^16 + attempt. Bound into what is computed."""

    chain_id: str
    task_id: str
    worker: str
    nonce: int


class OutputFile(msgspec.Struct, frozen=True):
    """A result file in the scratch folder."""

    name: str
    file_name: str
    size: int
    sha256: bytes


class RunReport(msgspec.Struct, frozen=True):
    """What a run leaves: its files, the digests of its steps, and the digest of the whole.

    A result that is proven has a `proof` in place of a trace.
    """

    outputs: tuple[OutputFile, ...]
    trace: tuple[bytes, ...]
    digest: bytes
    work_units: int
    seconds: float
    proof: OutputFile | None = None

    @property
    def files(self) -> tuple[OutputFile, ...]:
        """The outputs, and the proof if there is one."""
        return self.outputs if self.proof is None else (*self.outputs, self.proof)


class Finding(msgspec.Struct, frozen=True):
    """What a check found; `reason` says which claim failed and where."""

    valid: bool
    reason: str
    opened: bool = True
    """False if the iterates are not those that the report commits to: whoever handed them over is
    to blame, and nothing is known about the work."""


class Workload(Protocol[Parameters]):
    """One kind of work. Sizes are bytes, work units are multiply-adds, both of one job."""

    kind: str

    def parse(self, payload: Mapping[str, object], limits: Limits) -> Parameters:
        """A customer's payload as parameters. Raises PayloadError."""

    def canonical(self, parameters: Parameters) -> bytes:
        """The one encoding of these parameters: what is hashed, signed and sent."""

    def from_canonical(self, data: bytes) -> Parameters:
        """The inverse of `canonical`. Raises PayloadError for any other bytes."""

    def check_limits(self, parameters: Parameters, limits: Limits) -> None:
        """Raise PayloadError if the parameters ask for more than the limits allow."""

    def plan(self, parameters: Parameters) -> int:
        """How many jobs the task is split into: alike in size, each with its own index."""

    def work_units(self, parameters: Parameters) -> int:
        """What a run costs, but for its proof."""

    def proof_system(self, parameters: Parameters) -> ProofSystem | None:
        """What proves the result, or None if `check` reads its steps instead."""

    def proof_units(self, parameters: Parameters) -> int:
        """What the proof costs whoever runs the job; 0 if there is none."""

    def proof_bytes(self, parameters: Parameters) -> int:
        """The size of the proof; 0 if there is none."""

    def check_units(self, parameters: Parameters) -> int:
        """What a check costs, or the verifying of the proof."""

    def trace_bytes(self, parameters: Parameters) -> int:
        """How much a run writes as its trace; 0 if its result is proven."""

    def output_bytes(self, parameters: Parameters) -> int:
        """How much a run writes as its outputs."""

    def step_bytes(self, parameters: Parameters) -> int:
        """How much of the trace one step is: `check` reads it in pieces of this size."""

    def memory_bytes(self, parameters: Parameters) -> int:
        """The most memory that a run or a check holds, beyond the interpreter's."""

    def run(
        self,
        job: JobContext,
        parameters: Parameters,
        backend: Backend[Any],
        scratch: Path,
        progress: Progress,
    ) -> RunReport:
        """Do the work; files go into `scratch`. Raises what `progress` raises, and OSError."""

    def check(
        self,
        job: JobContext,
        parameters: Parameters,
        seed: bytes,
        report_trace: Sequence[bytes],
        digest: bytes,
        output_sha256: bytes,
        iterates: Iterator[bytes],
        backend: Backend[Any],
    ) -> Finding:
        """Judge a report, reading one iterate at a time.

        `seed` is 32 bytes that nobody could know before the report was fixed. `report_trace`,
        `digest`, `output_sha256` and `iterates` come from a stranger and may be anything.
        """
