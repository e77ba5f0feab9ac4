"""The receipt: one answer, from the customer's task down to the L1's block header.

A receipt is canonical JSON, so it has one form and every byte of it matters. Anybody verifies it
offline: the market's draw names task, parameters and validators; the worker's signed result hangs
on the manifest of its outputs; the validators' signed verdicts are about that result; a Merkle
path leads to the batch, another to the block's `compute_root`; the header's hash carries the
proposer's signature, whose key the network file pins.
"""

import json
from enum import Enum

import msgspec

from node.config import NetworkConfig
from node.l1.blocks import Header, block_digest, compute_leaf, verify_compute_path
from node.l1.keys import VALIDATOR_PREFIX, address_of, verify_digest
from node.verification.batches import check_batch, leaf_of
from node.verification.jsonable import from_jsonable, to_jsonable
from node.verification.quorum import decide
from node.verification.statements import (
    ComputeResult,
    Draw,
    Manifest,
    StatementInvalid,
    Verdict,
    check_draw,
    check_result,
    check_verdict,
    strict_hex,
)
from storage.merkle import verify_path

FORMAT = "tmnode-receipt-1"
MAX_BYTES = 1 << 20
ROOT_BYTES = 32


class Place(msgspec.Struct, frozen=True):
    """Where a leaf is in a Merkle tree, and the siblings up to the root."""

    index: int
    count: int
    path: tuple[bytes, ...]


class Anchor(msgspec.Struct, frozen=True):
    """How a batch hangs on a block of the L1."""

    batch: ComputeResult
    """The payload of the SUBMIT_RESULT transaction."""
    place: Place
    """The payload's leaf under the header's compute root, by the L1's own rules."""
    header: Header
    proposer_key: bytes
    """Compressed, 33 bytes."""
    proposer_signature: bytes
    """r ‖ s with low s: of the forms that the L1 takes, the one that a receipt has."""


class Receipt(msgspec.Struct, frozen=True):
    """All that is needed to check one answer."""

    format: str
    chain_id: str
    draw: Draw
    result: ComputeResult
    manifest: Manifest
    verdicts: tuple[Verdict, ...]
    place: Place
    """The result's leaf in its batch."""
    anchor: Anchor


class Standing(Enum):
    """What a verified receipt is worth."""

    ANCHORED = "valid and anchored"
    UNANCHORED = "consistent, not anchored"


class ReceiptInvalid(StatementInvalid):
    """The receipt does not hold; the field says where."""

    code = "receipt_invalid"


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


def verify_receipt(data: bytes, network: NetworkConfig) -> tuple[Receipt, Standing]:
    """Verify a receipt offline; raises ReceiptInvalid naming what does not hold.

    Without pinned proposer keys, or with a proposer that is not among them, the best a receipt
    can be is `Standing.UNANCHORED`.
    """
    receipt = decode_receipt(data)
    if receipt.chain_id != network.network.chain_id:
        raise ReceiptInvalid(f"is for the chain {receipt.chain_id}", field="chain_id")
    try:
        _check_claims(receipt, network)
        _check_anchor(receipt)
    except StatementInvalid as error:
        raise ReceiptInvalid(error.message, field=error.field) from error
    pinned = receipt.anchor.proposer_key.hex() in network.network.proposer_keys
    return receipt, Standing.ANCHORED if pinned else Standing.UNANCHORED


def _check_claims(receipt: Receipt, network: NetworkConfig) -> None:
    draw, result, chain_id = receipt.draw, receipt.result, receipt.chain_id
    check_draw(draw, chain_id, network.network.market_keys)
    check_result(result, receipt.manifest, draw, chain_id)
    for verdict in receipt.verdicts:
        check_verdict(verdict, draw, result, chain_id)
        if verdict.finding != "valid":
            raise StatementInvalid("a receipt carries valid verdicts only", field="verdicts")
    if len({verdict.validator_key for verdict in receipt.verdicts}) != len(receipt.verdicts):
        raise StatementInvalid("a validator's verdict stands twice", field="verdicts")
    if decide(receipt.verdicts, seats=len(draw.seats), needed=draw.needed) != "valid":
        raise StatementInvalid("too few verdicts for the draw's quorum", field="verdicts")


def _check_anchor(receipt: Receipt) -> None:
    anchor, chain_id = receipt.anchor, receipt.chain_id
    root = strict_hex(anchor.batch.result_hash, "anchor.batch.result_hash")
    leaf = leaf_of(receipt.result, chain_id)
    place = receipt.place
    if not verify_path(root, leaf, place.index, place.count, place.path):
        raise StatementInvalid("the result is not in this batch", field="place")
    if place.count != anchor.batch.nonce:
        raise StatementInvalid("the batch has another size", field="anchor.batch.nonce")
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
