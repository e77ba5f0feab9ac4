"""From a finished run to the signed compute result."""

from hashlib import sha256
from pathlib import Path

from gpu.workloads.base import OutputFile, RunReport
from node.sandbox.outputs import open_output
from node.verification.author import Author
from node.verification.draws import Draw
from node.verification.evidence import ATTESTED, Evidence, evidence_of, work_of
from node.verification.juries import Jury
from node.verification.statements import (
    ComputeResult,
    Manifest,
    OutputRef,
    manifest_digest,
    result_statement,
    seal_result,
)
from storage.artifacts import ArtifactHasher
from storage.merkle import merkle_root

READ_BYTES = 1 << 20


def output_ref(output: OutputFile, folder: Path) -> OutputRef:
    """Digests of an output file; blocks on the disk, raises OutputRejected."""
    hasher = ArtifactHasher()
    with open_output(folder, output.file_name) as file:
        while chunk := file.read(READ_BYTES):
            hasher.update(chunk)
    ref = hasher.ref()
    return OutputRef(output.name, ref.sha256, ref.size, ref.chunk_root)


def manifest_of(draw: Draw | Jury, folder: Path, report: RunReport) -> Manifest:
    """The manifest of what a run left in its folder; blocks on the disk."""
    return Manifest(
        kind=draw.kind,
        parameters=sha256(draw.parameters).digest(),
        outputs=tuple(output_ref(one, folder) for one in report.outputs),
        trace_root=merkle_root(report.trace),
        digest=report.digest,
    )


def evidence_in(draw: Draw, folder: Path, report: RunReport) -> Evidence:
    """What a result's proof field is to have; blocks on the disk, raises OutputRejected."""
    work = work_of(draw.kind, draw.parameters)
    if report.proof is None:
        return evidence_of(work, b"")
    with open_output(folder, report.proof.file_name) as file:
        return evidence_of(work, file.read(work.proof_bytes))


def signed_result(
    draw: Draw, nonce: int, manifest: Manifest, author: Author, evidence: Evidence = ATTESTED
) -> ComputeResult:
    """The six fields, bound to task, attempt and the author's own address, and signed."""
    result = ComputeResult(
        task_id=draw.task_id,
        worker_address=author.address,
        result_hash=manifest_digest(manifest, author.chain_id).hex(),
        proof="",
        nonce=nonce,
    )
    statement = result_statement(result, manifest, author.chain_id)
    return seal_result(result, statement, evidence, author)
