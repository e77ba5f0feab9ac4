"""The receipt: one answer, from the customer's task down to the L1's block header.

A receipt is canonical JSON, so it has one form and every byte of it matters. What several jobs
share stands once: snapshots, draws and anchors each in the order in which they are first needed,
and none that is not needed. `receipt_check` verifies it.
"""

import json
from collections.abc import Sequence
from typing import Literal

import msgspec

from node.l1.blocks import Header
from node.verification.claims import Count, StatementInvalid, strict_hex
from node.verification.draws import Draw
from node.verification.jsonable import from_jsonable, to_jsonable
from node.verification.juries import Jury
from node.verification.rulings import Ruling
from node.verification.snapshots import Snapshot
from node.verification.stakes import Stakes
from node.verification.statements import ComputeResult, Manifest, Verdict
from storage.merkle import merkle_root

FORMAT = "tmnode-receipt-2"
MAX_BYTES = 1 << 23
"""Of 64 jobs, each with the largest proof that a result has with it."""


Ruled = Literal["upheld", "overturned"]


class Place(msgspec.Struct, frozen=True):
    """Where a leaf is in a Merkle tree, and the siblings up to the root."""

    index: int
    count: int
    path: tuple[bytes, ...]


class Anchor(msgspec.Struct, frozen=True):
    """How a batch hangs on a block of the L1."""

    batch: ComputeResult
    """The payload of the SUBMIT_RESULT transaction: a batch, or one proven result itself."""
    place: Place
    """The payload's leaf under the header's compute root, by the L1's own rules."""
    header: Header
    proposer_key: bytes
    """Compressed, 33 bytes."""
    proposer_signature: bytes
    """r ‖ s with low s: of the forms that the L1 takes, the one that a receipt has."""


class ReceiptJob(msgspec.Struct, frozen=True):
    """One job's result, who found it valid, and where on the chain it is."""

    draw: Count
    """Which of the receipt's draws it was judged under."""
    result: ComputeResult
    manifest: Manifest
    verdicts: tuple[Verdict, ...]
    place: Place
    """The result's leaf in its batch; index 0 of 1 if it has a transaction of its own."""
    anchor: Count
    """Which of the receipt's anchors has that batch."""


class ReceiptAppeal(msgspec.Struct, frozen=True, omit_defaults=True):
    """A jury's decision about the result: what each juror computed, and who was to judge."""

    outcome: Ruled
    snapshot: Snapshot
    """What the jury's seats follow from."""
    jury: Jury
    rulings: tuple[Ruling, ...]
    stakes: Stakes | None = None
    """Of who answers for an overturned result; without, nobody can work out what they lost."""


class Receipt(msgspec.Struct, frozen=True, omit_defaults=True):
    """All that is needed to check one answer."""

    format: str
    chain_id: str
    snapshots: tuple[Snapshot, ...]
    """What the draws' seats follow from."""
    draws: tuple[Draw, ...]
    jobs: tuple[ReceiptJob, ...]
    """In the order of their indices."""
    anchors: tuple[Anchor, ...]
    appeal: ReceiptAppeal | None = None
    """If the result was disputed and a jury could say; a receipt without has no such member."""

    @property
    def results(self) -> tuple[ComputeResult, ...]:
        """The result of each job."""
        return tuple(job.result for job in self.jobs)

    @property
    def task_id(self) -> str:
        """The task that this is about."""
        return self.draws[0].task_id


class ReceiptInvalid(StatementInvalid):
    """The receipt does not hold; the field says where."""

    code = "receipt_invalid"


def result_hash_of(results: Sequence[ComputeResult]) -> bytes:
    """The hash of a task's whole result, 32 bytes: the job's own if there is one job, otherwise
    the Merkle root over those of all jobs. Raises StatementInvalid for bad hexadecimal.
    """
    hashes = [strict_hex(result.result_hash, "result_hash") for result in results]
    return hashes[0] if len(hashes) == 1 else merkle_root(hashes)


def encode_receipt(receipt: Receipt) -> bytes:
    """The canonical JSON, one line."""
    return json.dumps(to_jsonable(receipt), separators=(",", ":")).encode() + b"\n"


def decode_receipt(data: bytes) -> Receipt:
    """Read canonical JSON; raises ReceiptInvalid for any other bytes."""
    if len(data) > MAX_BYTES:
        raise ReceiptInvalid(f"is larger than {MAX_BYTES} bytes", field="receipt")
    try:
        receipt = from_jsonable(msgspec.json.decode(data), Receipt)
        canonical = encode_receipt(receipt) == data
    except (ValueError, RecursionError, StatementInvalid) as error:
        raise ReceiptInvalid(f"is no receipt: {error}", field="receipt") from error
    if receipt.format != FORMAT or not canonical:
        raise ReceiptInvalid(f"is not canonical {FORMAT} JSON", field="receipt")
    return receipt
