"""A small cast: a market, three validators, a worker, and what they sign about one task."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

from gpu.cpu import CpuBackend
from gpu.workloads import WORKLOADS
from gpu.workloads.base import JobContext, Limits
from node.amounts import Amount
from node.keys import bind
from node.l1.keys import AccountKey
from node.roles.results import evidence_in, manifest_of, signed_result
from node.verification.author import Author
from node.verification.draws import Draw, Seat, sign_draw
from node.verification.inline import proven_result
from node.verification.juries import Jury, JuryJob, case_digest, draw_jury, sign_jury
from node.verification.rulings import Ruling, sign_ruling
from node.verification.snapshots import (
    Candidate,
    Snapshot,
    draw_from,
    sign_snapshot,
    snapshot_digest,
)
from node.verification.statements import (
    ComputeResult,
    Finding,
    Manifest,
    OutputRef,
    Verdict,
    sign_verdict,
)
from p2p.identity import Identity
from storage.merkle import merkle_root

CHAIN = "cpc-devnet-1"
TASK = "550e8400-e29b-41d4-a716-446655440000"
WORK = {"seed": "s", "matrix_size": 16, "iterations": 2}


def parameters_of(jobs: int = 1) -> bytes:
    workload = WORKLOADS["synthetic"]
    payload = WORK if jobs == 1 else {**WORK, "chains": jobs}
    return workload.canonical(workload.parse(payload, Limits()))


PARAMETERS = parameters_of()


def author(number: int) -> Author:
    identity = Identity.from_seed(bytes([number]) * 32)
    account = AccountKey(bytes([number + 100]) * 32)
    return Author(identity, bind(identity, account, CHAIN), account.address, CHAIN)


@dataclass(frozen=True)
class Cast:
    market: Author
    validators: tuple[Author, ...]
    worker: Author

    def snapshot(self, *more: Author, **changes: object) -> Snapshot:
        """Of the three validators, and more."""
        everybody = sorted((*self.validators, *more), key=lambda one: one.identity.public_key)
        fields = {
            "number": 7,
            "previous": bytes(32),
            "taken_ms": 1_700_000_000_000,
            "candidates": tuple(
                Candidate(one.identity.public_key, one.address, 1, ("synthetic",))
                for one in everybody
            ),
            "market_key": b"",
        }
        return sign_snapshot(Snapshot(**{**fields, **changes}), CHAIN, self.market.identity)

    def orchestrator_of(self, snapshot: Snapshot) -> bytes:
        """Key of whoever is seated in every draw from it: the best ranked."""
        asked = {"task_id": TASK, "epoch": 1, "kind": "synthetic"}
        return draw_from(snapshot, size=1, **asked)[0].key

    def draw(self, **changes: object) -> Draw:
        fields = {
            "task_id": TASK,
            "epoch": 1,
            "redraw": 0,
            "snapshot": snapshot_digest(self.snapshot(), CHAIN),
            "passed": (),
            "kind": "synthetic",
            "parameters": PARAMETERS,
            "reward": Amount(10**19),
            "seats": tuple(Seat(one.identity.public_key, one.address) for one in self.validators),
            "needed": 2,
            "expires_ms": 1_800_000_000_000,
            "market_key": self.market.identity.public_key,
        }
        return sign_draw(Draw(**{**fields, **changes}), CHAIN, self.market.identity)

    def manifest(self, parameters: bytes = PARAMETERS) -> Manifest:
        output = OutputRef("matrix", sha256(b"X_T").digest(), 3, sha256(b"root").digest())
        return Manifest(
            kind="synthetic",
            parameters=sha256(parameters).digest(),
            outputs=(output,),
            trace_root=merkle_root([b"1" * 32, b"2" * 32]),
            digest=sha256(b"out").digest(),
        )

    def result(self, draw: Draw, nonce: int = 6) -> ComputeResult:
        return signed_result(draw, nonce, self.manifest(draw.parameters), self.worker)

    def jury(self, *jurors: Author, **changes: object) -> Jury:
        """Of these jurors about a result of the cast's draw; nobody of the draw is among them."""
        draw, snapshot = self.draw(), self.snapshot(*jurors)
        excluded = tuple(sorted(one.identity.public_key for one in self.validators))
        asked = {"task_id": TASK, "epoch": 1, "kind": "synthetic", "size": 3}
        asked |= {"beacon": b"b" * 32, "excluded": excluded}
        fields = {
            "task_id": TASK,
            "epoch": 1,
            "kind": draw.kind,
            "parameters": draw.parameters,
            "jobs": (JuryJob(6, self.worker.address),),
            "fee": Amount(10**16),
            "beacon": b"b" * 32,
            "snapshot": snapshot_digest(snapshot, CHAIN),
            "excluded": excluded,
            "seats": tuple(Seat(one.key, one.address) for one in draw_jury(snapshot, **asked)),
            "needed": 2,
            "expires_ms": 1_800_000_000_000,
            "market_key": self.market.identity.public_key,
        }
        return sign_jury(Jury(**{**fields, **changes}), CHAIN, self.market.identity)

    def ruling(self, jury: Jury, juror: Author, *hashes: bytes, **changes: object) -> Ruling:
        ruling = Ruling(jury.task_id, jury.epoch, case_digest(jury, CHAIN), hashes, b"")
        return sign_ruling(msgspec.structs.replace(ruling, **changes), CHAIN, juror.identity)

    def verdict(
        self, draw: Draw, result: ComputeResult, validator: Author, finding: Finding = "valid"
    ) -> Verdict:
        unsigned = Verdict(
            task_id=draw.task_id,
            epoch=draw.epoch,
            redraw=draw.redraw,
            nonce=result.nonce,
            worker_address=result.worker_address,
            result_hash=bytes.fromhex(result.result_hash),
            finding=finding,
            seed=bytes(32),
            validator_key=validator.identity.public_key,
        )
        return sign_verdict(unsigned, CHAIN, validator.identity)


class Claim:
    """A worker's proven result of a small task."""

    def __init__(self, cast, folder: Path, size: int = 6, steps: int = 3) -> None:
        payload = {"seed": "s", "matrix_size": size, "iterations": steps, "proof": True}
        parsed = WORKLOADS["synthetic"].parse(payload, Limits())
        self.parameters = WORKLOADS["synthetic"].canonical(parsed)
        self.draw = cast.draw(parameters=self.parameters)
        job = JobContext(CHAIN, self.draw.task_id, cast.worker.address, 6)
        report = WORKLOADS["synthetic"].run(job, parsed, CpuBackend(), folder, lambda _part: None)
        self.manifest = manifest_of(self.draw, folder, report)
        self.evidence = evidence_in(self.draw, folder, report)
        self.worker = cast.worker
        self.result = signed_result(self.draw, 6, self.manifest, cast.worker, self.evidence)
        self.output = (folder / "matrix").read_bytes()

    def draft(self, result=None, **changes: object):
        parts = {"manifest": self.manifest, "parameters": self.parameters, "output": self.output}
        return proven_result(result or self.result, **{**parts, **changes}, chain_id=CHAIN)


@pytest.fixture(scope="session")
def cast() -> Cast:
    return Cast(author(1), (author(2), author(3), author(4)), author(5))


@pytest.fixture(scope="session")
def parameters() -> Callable[..., bytes]:
    return parameters_of


@pytest.fixture(scope="session")
def make_author() -> Callable[[int], Author]:
    return author


@pytest.fixture(scope="session")
def claim(cast, tmp_path_factory) -> Claim:
    return Claim(cast, tmp_path_factory.mktemp("claim"))
