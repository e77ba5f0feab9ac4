"""The validators that a market draws from: published on a topic that every validator joins."""

from typing import ClassVar

from node.verification.snapshots import Snapshot
from p2p.messages import Message, register

SNAPSHOT_TOPIC = "tmnode/snapshot/1"


@register
class PublishedSnapshot(Message, frozen=True):
    """A market's snapshot, when its candidates change, and whenever one is asked for."""

    TYPE_ID: ClassVar[int] = 4
    VERSION: ClassVar[int] = 1
    MAX_BYTES: ClassVar[int] = 1 << 18

    snapshot: Snapshot


@register
class RequestSnapshot(Message, frozen=True):
    """Validator to market: send the snapshot with this digest, which I missed."""

    TYPE_ID: ClassVar[int] = 5
    VERSION: ClassVar[int] = 1
    MAX_BYTES: ClassVar[int] = 64

    digest: bytes
