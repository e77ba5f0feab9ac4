"""Verifying the proofs of a receipt offline: with its outputs, it takes nobody's word for them.

Without proofs a receipt rests on the verdicts in it; with them the results follow from task,
worker and attempt alone, whoever signed what.
"""

from collections.abc import Callable

from gpu.proofs.statement import Bounds
from node.verification.evidence import work_of
from node.verification.proofs import artifact_of, verify_proof
from node.verification.receipt import Receipt, ReceiptInvalid, ReceiptJob

Find = Callable[[bytes, int], bytes | None]
"""The bytes with this SHA-256 and size, or None if they are not at hand."""

_REMEDY = "`tmnode task fetch` saves a task's outputs and proofs; give the whole folder"


def proofs_in(receipt: Receipt) -> int:
    """How many of a verified receipt's results come with a proof: all of them, or none."""
    draw = receipt.draws[0]
    return len(receipt.jobs) if work_of(draw.kind, draw.parameters).proof_system else 0


def verify_proofs(receipt: Receipt, find: Find, bounds: Bounds) -> int:
    """Verify all proofs of a verified receipt; how many there are.

    Raises ReceiptInvalid naming the job, and the bytes that are missing or what does not hold.
    """
    count = proofs_in(receipt)
    for index in range(count):
        _verify_job(receipt, receipt.jobs[index], f"jobs[{index}]", find, bounds)
    return count


def _verify_job(receipt: Receipt, job: ReceiptJob, name: str, find: Find, bounds: Bounds) -> None:
    draw = receipt.draws[job.draw]
    [output] = job.manifest.outputs
    wanted = artifact_of(draw, job.result)
    data = _required(find, output.sha256, output.size, f"{name}.manifest.outputs[0]")
    proof = _required(find, wanted.sha256, wanted.size, f"{name}.result.proof") if wanted else b""
    finding = verify_proof(
        draw, job.result, job.manifest, data, proof, chain_id=receipt.chain_id, bounds=bounds
    )
    if not finding.valid:
        raise ReceiptInvalid(
            f"does not prove the result: {finding.reason}", field=f"{name}.result.proof"
        )


def _required(find: Find, sha256: bytes, size: int, field: str) -> bytes:
    data = find(sha256, size)
    if data is None:
        problem = f"{size} bytes with SHA-256 {sha256.hex()} are needed"
        raise ReceiptInvalid(problem, field=field, remedy=_REMEDY)
    return data
