"""What a node is built from, and what comes out."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from node.config import Config
from node.directory import Directory
from node.info import NodeInfo
from node.keys import NodeKeys
from node.l1.client import MarketClient
from node.l1.sender import OutboundRecord
from node.market.views import Market
from node.offload import Offload
from node.roles.worker import Compute
from node.settlement.credit import CreditDesk
from node.settlement.feedesk import FeeDesk
from node.settlement.paydesk import PayDesk
from node.settlement.staking import Stakes
from node.settlement.unclaimed import UnclaimedDesk
from node.settlement.withdrawals import Withdrawals
from p2p.network import Network
from storage.artifacts import ArtifactStore
from storage.database import Database
from storage.store import Batch


class SenderOwner(Protocol):
    """Whoever sends transactions from the node's account."""

    def on_confirmed(self, batch: Batch, record: OutboundRecord) -> None:
        """A block holds the transaction."""

    def on_lost(self, batch: Batch, record: OutboundRecord) -> None:
        """No block ever will."""


Run = Callable[..., Awaitable[Any]]
"""A long task that reports `started`, for `nursery.start`."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What has to be opened before anything can be built."""

    config: Config
    keys: NodeKeys
    db: Database
    network: Network
    l1: MarketClient
    places: Sequence[Compute]
    """Where jobs run, one for each slot; empty without the worker role."""
    scratch: Path
    artifacts: ArtifactStore
    offload: Offload
    now_ms: Callable[[], int]


@dataclass
class Assembly:
    """A built node: what to run, in order, and what the API serves."""

    info: NodeInfo
    directory: Directory
    runs: list[Run] = field(default_factory=list)
    market: Market | None = None
    withdrawals: Withdrawals | None = None
    credit: CreditDesk | None = None
    paydesk: PayDesk | None = None
    unclaimed: UnclaimedDesk | None = None
    fees: FeeDesk | None = None
    staking: Stakes | None = None


class Settled:
    """Passes what the one sender of this node's account finds out to all who send with it."""

    def __init__(self) -> None:
        self.owners: list[SenderOwner] = []

    def add(self, owner: SenderOwner) -> None:
        """Let an owner of transactions know; each ignores the causes of others."""
        self.owners.append(owner)

    def confirmed(self, batch: Batch, record: OutboundRecord) -> None:
        """A block holds the transaction."""
        for owner in self.owners:
            owner.on_confirmed(batch, record)

    def lost(self, batch: Batch, record: OutboundRecord) -> None:
        """No block ever will."""
        for owner in self.owners:
            owner.on_lost(batch, record)
