"""Between an orchestrator and a worker."""

from typing import ClassVar

import msgspec

from node.verification.claims import Count
from node.verification.draws import Draw
from node.verification.statements import ComputeResult, Manifest
from node.wire.presence import Answer
from p2p.messages import Message, register

TRACE = "trace"
"""Bulk transfer of a job's committed steps, concatenated; argument: (task id, nonce)."""
OUTPUT_OF_JOB = "job-output"
"""Bulk transfer of one output of a job; argument: (task id, nonce, index)."""
PROOF_OF_JOB = "job-proof"
"""Bulk transfer of a proof that its result has by digest; argument: (task id, nonce)."""
SUPERSEDED = "superseded"
"""Refusal of a message about an attempt that nobody waits for any more."""


class SecretCommitment(msgspec.Struct, frozen=True):
    """A validator's commitment to its part of the seed."""

    validator_key: bytes
    commitment: bytes


class Secret(msgspec.Struct, frozen=True):
    """A validator's revealed part of the seed."""

    validator_key: bytes
    secret: bytes


@register
class LeaseJob(Message, frozen=True):
    """Orchestrator to worker: compute this attempt before it expires."""

    TYPE_ID: ClassVar[int] = 20
    VERSION: ClassVar[int] = 1
    MAX_BYTES: ClassVar[int] = 1 << 16

    draw: Draw
    nonce: Count
    commitments: tuple[SecretCommitment, ...]
    lease_s: float


@register
class JobAnswer(Message, frozen=True):
    """Worker to orchestrator: the lease is taken, or why not."""

    TYPE_ID: ClassVar[int] = 21
    VERSION: ClassVar[int] = 1
    MAX_BYTES: ClassVar[int] = 4096

    answer: Answer


@register
class JobCommitted(Message, frozen=True):
    """Worker to orchestrator: the signed result, fixed before any challenge."""

    TYPE_ID: ClassVar[int] = 22
    VERSION: ClassVar[int] = 1
    MAX_BYTES: ClassVar[int] = 1 << 17

    epoch: Count
    result: ComputeResult
    manifest: Manifest


@register
class JobFailed(Message, frozen=True):
    """Worker to orchestrator: this attempt gives no result."""

    TYPE_ID: ClassVar[int] = 23
    VERSION: ClassVar[int] = 1
    MAX_BYTES: ClassVar[int] = 4096

    task_id: str
    epoch: Count
    nonce: Count
    reason: str


@register
class Challenge(Message, frozen=True):
    """A validator of the draw to the worker: the revealed secrets; open what they select."""

    TYPE_ID: ClassVar[int] = 24
    VERSION: ClassVar[int] = 1
    MAX_BYTES: ClassVar[int] = 1 << 16

    draw: Draw
    """The leased draw, or a later one of the same epoch whose seats were filled anew."""
    nonce: Count
    commitments: tuple[SecretCommitment, ...]
    secrets: tuple[Secret, ...]


@register
class Opening(Message, frozen=True):
    """Worker to validator: the digests of all steps; steps and outputs too if they are small.

    `steps` is empty when they are to be fetched as the bulk transfer `TRACE`, `outputs` when they
    are to be fetched as `OUTPUT_OF_JOB`. Of a result that is proven only the output is shown, and
    `proof` if the result has it by digest and it is not to be fetched as `PROOF_OF_JOB`.
    """

    TYPE_ID: ClassVar[int] = 25
    VERSION: ClassVar[int] = 1
    MAX_BYTES: ClassVar[int] = 1 << 22

    trace: tuple[bytes, ...]
    steps: bytes = b""
    outputs: tuple[bytes, ...] = ()
    proof: bytes = b""


@register
class ReleaseJob(Message, frozen=True):
    """Orchestrator to worker: stop if running, and forget the files of this attempt."""

    TYPE_ID: ClassVar[int] = 26
    VERSION: ClassVar[int] = 1
    MAX_BYTES: ClassVar[int] = 256

    task_id: str
    nonce: Count
    accepted: bool
