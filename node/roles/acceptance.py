"""A market's own verification of what is proven, before it pays.

A proof says to everybody what verdicts only claim, so no quorum is taken at its word where there is
one. Whoever signed `valid` for a proof that does not hold is not drawn for `bar_s`.
"""

import mmap
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

import trio

from gpu.proofs.envelope import ProofSystem
from gpu.proofs.systems import SYSTEMS
from gpu.workloads.base import Finding
from node.config import ProtocolSection
from node.directory import Directory
from node.errors import NodeError, TaskTooLarge
from node.market.bars import BarBook
from node.market.snapshots import SnapshotLog
from node.offload import Offload
from node.roles.outputs import OutputMissing
from node.verification.draws import Seat
from node.verification.evidence import work_of
from node.verification.proofs import artifact_of, statement_of, verify_proof
from node.verification.snapshots import Candidate
from node.verification.statements import Judgement, signers_of
from node.workloads import bounds_of
from storage.artifacts import ArtifactStore
from storage.store import Batch


class ProofFalse(NodeError):
    """A quorum found a result valid that its proof does not prove."""

    code = "proof_false"


class Refuted(NamedTuple):
    """A judgement that a proof contradicts, and where the proof fails."""

    judgement: Judgement
    reason: str

    @property
    def signers(self) -> tuple[Seat, ...]:
        """Those who found it valid."""
        return signers_of(self.judgement)


class Acceptance:
    """Verifies proofs whose outputs this market has, one result at a time."""

    def __init__(
        self,
        artifacts: ArtifactStore,
        *,
        chain_id: str,
        protocol: ProtocolSection,
        offload: Offload,
    ) -> None:
        self._artifacts = artifacts
        self._chain_id = chain_id
        self._bounds = bounds_of(protocol)
        self._offload = offload
        self.turn = trio.Lock()
        """Held by whoever verifies: a report that is repeated meanwhile waits for the first."""

    async def refuted(self, jobs: Sequence[Judgement]) -> Refuted | None:
        """The first of a task's jobs whose proof does not hold; None if all hold or have none.

        Raises:
            TaskTooLarge: a proof is beyond this market's bounds, which says nothing about it.
            OutputMissing: the files cannot be read.
        """
        for one in jobs:
            system = work_of(one.draw.kind, one.draw.parameters).proof_system
            if system is None:
                continue
            self._require_within_bounds(one, system)
            try:
                finding = await self._offload(partial(self._verify, one))
            except OSError as error:
                raise OutputMissing(f"cannot be read back: {error}") from error
            if not finding.valid:
                return Refuted(one, finding.reason)
        return None

    def _require_within_bounds(self, one: Judgement, system: ProofSystem) -> None:
        statement = statement_of(one.draw, one.result, one.manifest, self._chain_id)
        units, most = SYSTEMS[system].cost(statement).units, self._bounds.max_units
        if units > most:
            raise TaskTooLarge(f"takes {units} units to verify, of {most} here", field="proof")

    def _verify(self, one: Judgement) -> Finding:
        """Bounds first, then sizes, then the proof: see `gpu.proofs.systems`."""
        [output] = one.manifest.outputs
        wanted = artifact_of(one.draw, one.result)
        proof = b"" if wanted is None else self._artifacts.path(wanted.sha256.hex()).read_bytes()
        with (
            self._artifacts.path(output.sha256.hex()).open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
            memoryview(mapped) as view,
        ):
            return verify_proof(
                one.draw,
                one.result,
                one.manifest,
                view,
                proof,
                chain_id=self._chain_id,
                bounds=self._bounds,
            )


class Electorate:
    """The validators that this market draws from: those that are there and not barred."""

    def __init__(
        self,
        directory: Directory,
        snapshots: SnapshotLog,
        bars: BarBook,
        admits: Callable[[Candidate], bool],
    ) -> None:
        """`admits` says whether a validator has bonded enough to be drawn."""
        self._admits = admits
        self._directory = directory
        self._snapshots = snapshots
        self._bars = bars

    @property
    def barred(self) -> int:
        """How many are not drawn now for what they signed."""
        return self._bars.barred

    def candidates(self) -> list[Candidate]:
        """Who can be drawn now."""
        return [
            one
            for one in self._directory.candidates()
            if self._admits(one) and not self._bars.is_barred(one.key, one.address)
        ]

    def bar(self, batch: Batch, seats: Iterable[Seat]) -> None:
        """Draw these no more for a while, as of this batch; a snapshot without them is staged.

        Before the batch, that is: nothing that the batch brings about is drawn from an older one.
        """
        self._bars.bar(batch, seats)
        self._snapshots.take(self.candidates())

    @property
    def changed(self) -> trio.Event:
        """Set when somebody is barred."""
        return self._bars.changed
