"""Verifying the proof of a result: that its output is what its task, worker and attempt determine.

A statement holds nothing that the result does not fix, so nobody can be shown another's proof.
"""

from gpu.proofs.envelope import decode
from gpu.proofs.statement import Bounds, Statement
from gpu.proofs.systems import verify
from gpu.workloads.base import Finding
from node.verification.draws import Draw
from node.verification.evidence import ProofRef, proof_ref, work_of
from node.verification.statements import ComputeResult, Manifest


def statement_of(draw: Draw, result: ComputeResult, manifest: Manifest, chain_id: str) -> Statement:
    """What the proof of a checked result is about."""
    return Statement(
        chain_id=chain_id,
        task_id=draw.task_id,
        worker=result.worker_address,
        nonce=result.nonce,
        kind=draw.kind,
        parameters=draw.parameters,
        digest=manifest.digest,
    )


def artifact_of(draw: Draw, result: ComputeResult) -> ProofRef | None:
    """The artifact with a checked result's proof; None if it has none, or has it with it."""
    return proof_ref(decode(bytes.fromhex(result.proof)), work_of(draw.kind, draw.parameters))


def verify_proof(
    draw: Draw,
    result: ComputeResult,
    manifest: Manifest,
    output: bytes | memoryview,
    artifact: bytes,
    *,
    chain_id: str,
    bounds: Bounds,
) -> Finding:
    """Judge the proof of a checked result, `artifact` being the one that it names, if any.

    That `output` is the manifest's is for the caller to check.
    """
    envelope = decode(bytes.fromhex(result.proof))
    statement = statement_of(draw, result, manifest, chain_id)
    return verify(envelope, statement, output, artifact=artifact, bounds=bounds)
