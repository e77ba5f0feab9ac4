"""Between an orchestrator and the validators of the quorum, itself included."""

from typing import ClassVar

from node.verification.claims import Count
from node.verification.draws import Draw, Refusal
from node.verification.statements import ComputeResult, Manifest, Verdict
from node.wire.jobs import Secret, SecretCommitment
from p2p.messages import Message, register


@register
class RequestCommitment(Message, frozen=True):
    """Promise a secret for this attempt of a drawn task."""

    TYPE_ID: ClassVar[int] = 30
    VERSION: ClassVar[int] = 1
    MAX_BYTES: ClassVar[int] = 1 << 16

    draw: Draw
    nonce: Count


@register
class CommitmentAnswer(Message, frozen=True):
    """The validator's commitment, or its signed refusal to check in this epoch."""

    TYPE_ID: ClassVar[int] = 31
    VERSION: ClassVar[int] = 1
    MAX_BYTES: ClassVar[int] = 1024

    commitment: SecretCommitment | None = None
    refusal: Refusal | None = None


@register
class RequestReveal(Message, frozen=True):
    """The worker's result is fixed: reveal the secret for it."""

    TYPE_ID: ClassVar[int] = 32
    VERSION: ClassVar[int] = 1
    MAX_BYTES: ClassVar[int] = 1 << 17

    draw: Draw
    result: ComputeResult
    manifest: Manifest


@register
class RevealAnswer(Message, frozen=True):
    """The validator's secret."""

    TYPE_ID: ClassVar[int] = 33
    VERSION: ClassVar[int] = 1
    MAX_BYTES: ClassVar[int] = 256

    secret: Secret


@register
class RequestVerdict(Message, frozen=True):
    """The evidence of one attempt: check it and sign what you find.

    Without a `trace`, or with one that is not the committed one, the validator asks the worker
    itself before it finds anything withheld.
    """

    TYPE_ID: ClassVar[int] = 34
    VERSION: ClassVar[int] = 1
    MAX_BYTES: ClassVar[int] = 1 << 22

    draw: Draw
    result: ComputeResult
    manifest: Manifest
    commitments: tuple[SecretCommitment, ...]
    secrets: tuple[Secret, ...]
    trace: tuple[bytes, ...]
    steps: bytes = b""


@register
class VerdictAnswer(Message, frozen=True):
    """The validator's signed verdict."""

    TYPE_ID: ClassVar[int] = 35
    VERSION: ClassVar[int] = 1
    MAX_BYTES: ClassVar[int] = 4096

    verdict: Verdict
