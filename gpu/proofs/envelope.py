"""The strict canonical envelope of `ComputeResult.proof`.

    "CPRF" | version u8 | system u16 | params_id 32 | statement digest 32 | worker key 32
           | binding signatures 64 + 64 | account key 33 | kind u8 | payload

Integers are big-endian. One value has exactly one encoding: `decode` refuses every other.
"""

import struct
from enum import IntEnum

import msgspec

from gpu.errors import GpuError

MAGIC = b"CPRF"
VERSION = 1
MAX_INLINE_BYTES = 32 * 1024
"""Bytes of payload: its hex is what fits the L1's 64 KB."""

_FIELD_BYTES = (32, 32, 32, 64, 64, 33)
_HEAD = struct.Struct(">4sBH32s32s32s64s64s33sB")


class EnvelopeInvalid(GpuError):
    """The bytes are not an envelope in its one canonical form."""


class ProofSystem(IntEnum):
    """What the payload proves."""

    ATTESTED = 1
    """Nothing by itself: the validators' signed verdicts vouch for the result."""
    BATCH = 2
    """The result hash is the Merkle root of many compute results; the payload lists workers."""
    CHAIN241 = 3
    """The payload proves the whole chain of a synthetic task: `gpu.proofs.chain241`."""


class PayloadKind(IntEnum):
    """Where the payload is."""

    INLINE = 0
    DIGEST = 1


class ProofEnvelope(msgspec.Struct, frozen=True):
    """The fields of an envelope, sizes in bytes as the layout gives them."""

    system: ProofSystem
    statement: bytes
    worker_key: bytes
    key_signature: bytes
    """The Ed25519 key's signature over the account key."""
    account_signature: bytes
    """The account key's signature over the Ed25519 key."""
    account_key: bytes
    params_id: bytes = bytes(32)
    kind: PayloadKind = PayloadKind.INLINE
    payload: bytes = b""


def encode(envelope: ProofEnvelope) -> bytes:
    """The canonical bytes. Raises EnvelopeInvalid if a field has another size than the layout's."""
    fields = (
        envelope.params_id,
        envelope.statement,
        envelope.worker_key,
        envelope.key_signature,
        envelope.account_signature,
        envelope.account_key,
    )
    if tuple(map(len, fields)) != _FIELD_BYTES:
        raise EnvelopeInvalid("a field has another size than the layout gives it")
    _require_payload(envelope.kind, envelope.payload)
    head = _HEAD.pack(MAGIC, VERSION, envelope.system, *fields, envelope.kind)
    return head + envelope.payload


def decode(data: bytes) -> ProofEnvelope:
    """Read the canonical bytes; raises EnvelopeInvalid for anything else."""
    if not _HEAD.size <= len(data) <= _HEAD.size + MAX_INLINE_BYTES:
        raise EnvelopeInvalid(f"an envelope cannot have {len(data)} bytes")
    magic, version, system, *fields, kind = _HEAD.unpack_from(data)
    if magic != MAGIC or version != VERSION:
        raise EnvelopeInvalid("no envelope of a known version")
    params_id, statement, worker_key, key_signature, account_signature, account_key = fields
    payload = data[_HEAD.size :]
    try:
        envelope = ProofEnvelope(
            system=ProofSystem(system),
            statement=statement,
            worker_key=worker_key,
            key_signature=key_signature,
            account_signature=account_signature,
            account_key=account_key,
            params_id=params_id,
            kind=PayloadKind(kind),
            payload=payload,
        )
    except ValueError as error:
        raise EnvelopeInvalid(str(error)) from error
    _require_payload(envelope.kind, payload)
    return envelope


def _require_payload(kind: PayloadKind, payload: bytes) -> None:
    if kind is PayloadKind.DIGEST and len(payload) != 32:
        raise EnvelopeInvalid("a payload by digest has 32 bytes")
    if len(payload) > MAX_INLINE_BYTES:
        raise EnvelopeInvalid(f"a payload of {len(payload)} bytes goes by digest")
