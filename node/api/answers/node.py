"""The node itself: API keys, the nodes it knows, how it is."""

import msgspec

from node.market.views import (
    NodeStatus,
    WorkerView,
)


class ChallengeAnswer(msgspec.Struct, frozen=True):
    """What to sign, and until when."""

    challenge: str
    expires_at: int


class KeyAnswer(msgspec.Struct, frozen=True):
    """An API key, shown this once."""

    key: str
    address: str
    spend_limit: str | None


class PeersAnswer(msgspec.Struct, frozen=True):
    """The nodes this one knows."""

    peers: tuple[WorkerView, ...]


class WorkersAnswer(msgspec.Struct, frozen=True):
    """The workers this node knows."""

    workers: tuple[WorkerView, ...]


class HealthAnswer(msgspec.Struct, frozen=True):
    """Whether the node answers, and whether it can do its work."""

    status: str
    ready: bool
    waiting: tuple[str, ...]


class MetricsText(msgspec.Struct, frozen=True):
    """The node's numbers, not as JSON but in Prometheus' text format."""

    text: str


Receipt = msgspec.Raw
"""A receipt's canonical JSON, passed on byte for byte."""


def health_answer(status: NodeStatus) -> HealthAnswer:
    """Whether the node can do its work, and what it waits for."""
    return HealthAnswer("ok", not status.obstacles, status.waiting)
