"""Verifying a receipt offline, with nothing but the network file.

The market's snapshot and its draw name task, parameters and validators; a worker's signed result
for each job of the plan hangs on the manifest of its outputs; the validators' signed verdicts are
about that result; a Merkle path leads to the batch, another to the block's `compute_root`; the
header's hash carries the proposer's signature, whose key the network file pins.
"""

from collections.abc import Hashable, Iterable, Sequence
from enum import Enum

import msgspec

from gpu.errors import PayloadError
from gpu.workloads import WORKLOADS
from node.config import NetworkConfig
from node.l1.blocks import Header, block_digest, compute_leaf, verify_compute_path
from node.l1.keys import VALIDATOR_PREFIX, address_of, verify_digest
from node.verification.batches import check_batch, leaf_of
from node.verification.claims import StatementInvalid, strict_hex
from node.verification.draws import Draw, check_draw, check_nonce, check_seats, job_of
from node.verification.own import anchor_name, is_own
from node.verification.quorum import decide
from node.verification.receipt import (
    Anchor,
    Place,
    Receipt,
    ReceiptInvalid,
    ReceiptJob,
    decode_receipt,
)
from node.verification.receipt_appeal import check_appeal
from node.verification.snapshots import check_snapshot, snapshot_digest
from node.verification.statements import check_result, check_verdict
from storage.merkle import verify_path

ROOT_BYTES = 32


class Standing(Enum):
    """What a verified receipt is worth."""

    ANCHORED = "valid and anchored"
    UNANCHORED = "consistent, not anchored"
    OVERTURNED = "consistent, and overturned by a jury"


def verify_receipt(data: bytes, network: NetworkConfig) -> tuple[Receipt, Standing]:
    """Verify a receipt offline; raises ReceiptInvalid naming what does not hold.

    Without pinned proposer keys, or with a proposer that is not among them, the best a receipt
    can be is `Standing.UNANCHORED`. A result that a jury overturned is `Standing.OVERTURNED`,
    wherever it is.
    """
    receipt = decode_receipt(data)
    if receipt.chain_id != network.network.chain_id:
        raise ReceiptInvalid(f"is for the chain {receipt.chain_id}", field="chain_id")
    try:
        _check_form(receipt)
        _check_draws(receipt, network)
        _check_jobs(receipt, network)
        for anchor in receipt.anchors:
            _check_anchor(anchor, receipt.chain_id)
        if receipt.appeal is not None:
            check_appeal(receipt, receipt.appeal, network)
    except StatementInvalid as error:
        raise ReceiptInvalid(error.message, field=error.field) from error
    if receipt.appeal is not None and receipt.appeal.outcome == "overturned":
        return receipt, Standing.OVERTURNED
    proposers = {anchor.proposer_key.hex() for anchor in receipt.anchors}
    pinned = proposers <= set(network.network.proposer_keys)
    return receipt, Standing.ANCHORED if pinned else Standing.UNANCHORED


def _check_form(receipt: Receipt) -> None:
    """Everything stands once, in the order in which it is first needed, and nothing besides."""
    digests = [snapshot_digest(one, receipt.chain_id) for one in receipt.snapshots]
    _require_order(digests, [draw.snapshot for draw in receipt.draws], "snapshots")
    _require_order(range(len(receipt.draws)), [job.draw for job in receipt.jobs], "draws")
    _require_order(range(len(receipt.anchors)), [job.anchor for job in receipt.jobs], "anchors")
    batches = [anchor_name(anchor.batch) for anchor in receipt.anchors]
    signed = [draw.signature for draw in receipt.draws]
    if len(set(batches)) != len(batches) or len(set(signed)) != len(signed):
        raise StatementInvalid("a draw or a batch stands twice", field="receipt")


def _require_order(there: Iterable[Hashable], needed: Sequence[Hashable], field: str) -> None:
    if not needed or list(there) != list(dict.fromkeys(needed)):
        raise StatementInvalid("are not those that are needed, in order", field=field)


def _check_draws(receipt: Receipt, network: NetworkConfig) -> None:
    """Each follows from its snapshot and the network's rules, and all are of one task and epoch."""
    chain_id, protocol = receipt.chain_id, network.protocol
    snapshots = {snapshot_digest(one, chain_id): one for one in receipt.snapshots}
    for snapshot in receipt.snapshots:
        check_snapshot(snapshot, chain_id)
    for draw in receipt.draws:
        check_draw(draw, chain_id, network.network.market_keys)
        check_seats(draw, snapshots[draw.snapshot], protocol.quorum_size, chain_id)
        if draw.needed < protocol.quorum_needed:
            raise StatementInvalid("the quorum is smaller than this network's", field="draw.needed")
    if len({_about(draw) for draw in receipt.draws}) != 1:
        raise StatementInvalid("are of different tasks or epochs", field="draws")


def _about(draw: Draw) -> Hashable:
    """What every draw of an epoch has in common."""
    work = (draw.task_id, draw.epoch, draw.kind, draw.parameters, draw.reward)
    return (*work, draw.needed, draw.expires_ms, draw.market_key, draw.seats[0])


def _check_jobs(receipt: Receipt, network: NetworkConfig) -> None:
    """They are exactly those of the plan, each found valid by a quorum and in its batch."""
    count = _planned(receipt.draws[0])
    indices = [job_of(job.result.nonce) for job in receipt.jobs]
    if len(indices) != count or indices != list(range(count)):
        raise StatementInvalid(f"are not the {count} of the plan, in order", field="jobs")
    for job in receipt.jobs:
        draw = receipt.draws[job.draw]
        check_nonce(job.result.nonce, draw, count, network.protocol.max_attempts)
        _check_claims(job, draw, receipt.chain_id)
        _check_place(job, receipt.anchors[job.anchor], receipt.chain_id)


def _planned(draw: Draw) -> int:
    """How many jobs the task has."""
    workload = WORKLOADS.get(draw.kind)
    if workload is None:
        raise StatementInvalid(f"this software does not know {draw.kind[:40]!r}", field="draw.kind")
    try:
        return workload.plan(workload.from_canonical(draw.parameters))
    except PayloadError as error:
        raise StatementInvalid(str(error), field="draw.parameters") from error


def _check_claims(job: ReceiptJob, draw: Draw, chain_id: str) -> None:
    check_result(job.result, job.manifest, draw, chain_id)
    for verdict in job.verdicts:
        check_verdict(verdict, draw, job.result, chain_id)
        if verdict.finding != "valid":
            raise StatementInvalid("a receipt carries valid verdicts only", field="verdicts")
    if len({verdict.validator_key for verdict in job.verdicts}) != len(job.verdicts):
        raise StatementInvalid("a validator's verdict stands twice", field="verdicts")
    if decide(job.verdicts, seats=len(draw.seats), needed=draw.needed) != "valid":
        raise StatementInvalid("too few verdicts for the draw's quorum", field="verdicts")


def _check_place(job: ReceiptJob, anchor: Anchor, chain_id: str) -> None:
    if is_own(anchor.batch):
        if job.result != anchor.batch or job.place != Place(0, 1, ()):
            raise StatementInvalid("the result is not the one in this block", field="place")
        return
    root = strict_hex(anchor.batch.result_hash, "anchor.batch.result_hash")
    leaf, place = leaf_of(job.result, chain_id), job.place
    if not verify_path(root, leaf, place.index, place.count, place.path):
        raise StatementInvalid("the result is not in this batch", field="place")
    if place.count != anchor.batch.nonce:
        raise StatementInvalid("the batch has another size", field="anchor.batch.nonce")


def _check_anchor(anchor: Anchor, chain_id: str) -> None:
    if not is_own(anchor.batch):  # else it is a job's result, and checked as such
        check_batch(anchor.batch, chain_id)
    _check_header(anchor.header, chain_id)
    l1_leaf = compute_leaf(msgspec.structs.asdict(anchor.batch))
    spot = anchor.place
    compute_root = anchor.header.compute_root
    if not verify_compute_path(compute_root, l1_leaf, spot.index, spot.count, spot.path):
        raise StatementInvalid("the batch is not in this block", field="anchor.place")
    proposer, digest = anchor.proposer_key, block_digest(anchor.header)
    named = address_of(proposer, VALIDATOR_PREFIX) == anchor.header.proposer_address
    if not named or not verify_digest(proposer, digest, anchor.proposer_signature):
        raise StatementInvalid(
            "the proposer did not sign this header", field="anchor.proposer_signature"
        )


def _check_header(header: Header, chain_id: str) -> None:
    """Only what the signature fixes: the L1 hashes the fields without anything between them, so
    their lengths must be the known ones, and it leaves the zk fields out.
    """
    if header.chain_id != chain_id:
        raise StatementInvalid("the block is of another chain", field="anchor.header.chain_id")
    for name in ("prev_hash", "tx_root", "state_root", "compute_root"):
        field = f"anchor.header.{name}"
        if len(strict_hex(getattr(header, name), field)) != ROOT_BYTES:
            raise StatementInvalid(f"does not have {ROOT_BYTES} bytes", field=field)
    if (header.zk_state_proof_hash, header.zk_compute_proof_hash) != (None, None):
        raise StatementInvalid("nobody signed the zk fields", field="anchor.header")
