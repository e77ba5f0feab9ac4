"""The anchors a market keeps: one record a batch, from which each task's receipt is assembled."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from node.errors import Conflict
from node.l1.blocks import (
    Block,
    Header,
    compute_leaf,
    compute_path,
    verify_compute_path,
    verify_proposer,
)
from node.l1.keys import CURVE_ORDER
from node.market.appealbook import AppealRecord
from node.market.outcomes import JobOutcome, OutcomeRecord
from node.verification.claims import StatementInvalid, strict_hex
from node.verification.own import anchor_name, check_anchored
from node.verification.receipt import (
    FORMAT,
    Anchor,
    Place,
    Receipt,
    ReceiptAppeal,
    ReceiptJob,
    encode_receipt,
)
from node.verification.snapshots import Snapshot
from node.verification.statements import ComputeResult
from storage.database import Database
from storage.merkle import merkle_path
from storage.store import Batch
from storage.tables import Table

T = TypeVar("T")


class AnchorRecord(msgspec.Struct, frozen=True):
    """A batch under its block, with the leaves of all its results."""

    anchor: Anchor
    leaves: tuple[bytes, ...]


def anchor_in(block: Block, batch: ComputeResult, proposer_keys: tuple[bytes, ...]) -> Anchor:
    """Find a batch in a block and the proposer among the known keys.

    Raises StatementInvalid if the block does not hold it or nobody known signed.
    """
    payloads = [tx.payload for tx in block.txs if tx.tx_type == "SUBMIT_RESULT"]
    leaves = [compute_leaf(payload) for payload in payloads]
    wanted = compute_leaf(msgspec.structs.asdict(batch))
    if wanted not in leaves:
        raise StatementInvalid("the block does not hold this batch", field="height")
    index = leaves.index(wanted)
    place = Place(index, len(leaves), tuple(compute_path(leaves, index)))
    if not verify_compute_path(block.header.compute_root, wanted, index, len(leaves), place.path):
        raise StatementInvalid("the header does not cover this batch", field="compute_root")
    signature = strict_hex(block.pq_signature, "pq_signature")
    for key in proposer_keys:
        if verify_proposer(block.header, signature, key):
            return Anchor(batch, place, _signed_part(block.header), key, _low_s(signature))
    raise StatementInvalid("no known proposer signed the block", field="pq_signature")


def _signed_part(header: Header) -> Header:
    """The header without the two fields that its signature does not cover."""
    return msgspec.structs.replace(header, zk_state_proof_hash=None, zk_compute_proof_hash=None)


def _low_s(signature: bytes) -> bytes:
    """The one strict form of a signature that the L1 accepts: 64 bytes with low s."""
    s = int.from_bytes(signature[32:], "big")
    return signature[:32] + min(s, CURVE_ORDER - s).to_bytes(32, "big")


class AnchorBook:
    """The anchors of one market, over its database."""

    def __init__(self, db: Database, chain_id: str) -> None:
        self._table = Table(db, "anchors", AnchorRecord)
        self._chain_id = chain_id

    def known(self, batch_id: str) -> bool:
        """True if the batch's anchor is stored."""
        return self._table.get(batch_id.encode()) is not None

    def put(self, batch: Batch, record: AnchorRecord) -> None:
        """Add a checked anchor to a batch; raises StatementInvalid if its leaves are others."""
        sealed = record.anchor.batch
        check_anchored(sealed, record.leaves, self._chain_id)
        self._table.put(batch, anchor_name(sealed).encode(), record)

    def receipt(
        self,
        outcome: OutcomeRecord,
        snapshot_of: Callable[[bytes], Snapshot | None],
        appeal: AppealRecord | None = None,
    ) -> bytes:
        """The receipt of an outcome whose batches are stored, and whose snapshots can be found;
        with what a jury decided in an `appeal` about it.

        Raises Conflict while that is not so.
        """
        judgements = [job.judgement for job in outcome.jobs]
        draws = list(dict.fromkeys(one.draw for one in judgements))
        batches = list(dict.fromkeys(job.batch for job in outcome.jobs))
        records = [_required(self._table.get(batch.encode())) for batch in batches]
        digests = dict.fromkeys(draw.snapshot for draw in draws)
        return encode_receipt(
            Receipt(
                format=FORMAT,
                chain_id=self._chain_id,
                snapshots=tuple(_required(snapshot_of(digest)) for digest in digests),
                draws=tuple(draws),
                jobs=tuple(
                    _receipt_job(
                        job, draws.index(job.judgement.draw), batches.index(job.batch), records
                    )
                    for job in outcome.jobs
                ),
                anchors=tuple(record.anchor for record in records),
                appeal=_receipt_appeal(appeal, snapshot_of) if appeal else None,
            )
        )


def _receipt_job(
    job: JobOutcome, draw: int, anchor: int, records: Sequence[AnchorRecord]
) -> ReceiptJob:
    leaves, judgement = records[anchor].leaves, job.judgement
    return ReceiptJob(
        draw=draw,
        result=judgement.result,
        manifest=judgement.manifest,
        verdicts=tuple(one for one in judgement.verdicts if one.finding == "valid"),
        place=Place(job.index, len(leaves), merkle_path(leaves, job.index)),
        anchor=anchor,
    )


def _receipt_appeal(
    appeal: AppealRecord, snapshot_of: Callable[[bytes], Snapshot | None]
) -> ReceiptAppeal | None:
    """None for an appeal that no jury decided: there is nothing to show."""
    if appeal.outcome is None or appeal.outcome == "inconclusive":
        return None
    snapshot = _required(snapshot_of(appeal.jury.snapshot))
    return ReceiptAppeal(appeal.outcome, snapshot, appeal.jury, appeal.rulings, appeal.stakes)


def _required(stored: T | None) -> T:
    if stored is None:
        raise Conflict("the task's batch is not anchored", field="task_id")
    return stored
