"""What the commands work on."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trio

from node.api.body import MAX_BODY_BYTES, MAX_BODY_S
from node.api.errors import NotAMarket
from node.errors import Unavailable
from node.market.views import Market, Node
from node.metrics import RequestMeter

if TYPE_CHECKING:  # the command line has the table without accounts, storage and curves
    from node.api.accounts import Accounts
    from node.settlement.paydesk import PayDesk
    from node.settlement.staking import Stakes
    from node.settlement.withdrawals import Withdrawals

DAY_S = 86400
MAX_WAITS = 192
MAX_STREAMS = 64


@dataclass(frozen=True, kw_only=True)
class Service:
    """A node behind its doors; everything that a role lacks is None."""

    node: Node
    market_role: Market | None = None
    key_ring: "Accounts | None" = None
    """API keys; without them only the local account can spend."""
    till: "Withdrawals | None" = None
    """Where customers take their money out."""
    paydesk: "PayDesk | None" = None
    """Where workers and validators say when they want to be paid."""
    stakes: "Stakes | None" = None
    """Where workers and validators put down bonds."""
    local_account: str | None = None
    """Address that unauthenticated requests from this machine spend from (devnet only)."""
    max_deadline_s: int = 7 * DAY_S
    """Seconds from now: the latest deadline of a task."""
    max_body_bytes: int = MAX_BODY_BYTES
    max_body_s: float = MAX_BODY_S
    """Seconds that a client may take to send a body."""
    requests: RequestMeter = field(default_factory=RequestMeter)
    """What the requests came to."""
    now: Callable[[], float] = time.time
    """Unix seconds."""
    waits: trio.Semaphore = field(default_factory=lambda: trio.Semaphore(MAX_WAITS))
    """How many clients may wait for a task at once."""
    streams: trio.Semaphore = field(default_factory=lambda: trio.Semaphore(MAX_STREAMS))
    """How many clients may follow events at once."""

    @property
    def market(self) -> Market:
        """The market; raises NotAMarket if this node has none."""
        if self.market_role is None:
            raise NotAMarket(
                "this node has no market role",
                remedy="ask a node that was started with `tmnode run --role market`",
            )
        return self.market_role

    @property
    def accounts(self) -> "Accounts":
        """The API keys; raises Unavailable if this node makes none."""
        if self.key_ring is None:
            raise Unavailable("this node has no API keys", remedy="ask its operator")
        return self.key_ring

    @property
    def payees(self) -> "PayDesk":
        """Where payees ask; raises NotAMarket or Unavailable where nobody is paid."""
        self.market  # noqa: B018 - it raises
        if self.paydesk is None:
            raise Unavailable("this node pays nobody", remedy="ask its operator")
        return self.paydesk

    @property
    def withdrawals(self) -> "Withdrawals":
        """Where money goes out; raises NotAMarket or Unavailable where none does."""
        self.market  # noqa: B018 - it raises
        if self.till is None:
            raise Unavailable("this node pays nothing out", remedy="ask its operator")
        return self.till

    @property
    def staking(self) -> "Stakes":
        """Where bonds are; raises NotAMarket or Unavailable where none are."""
        self.market  # noqa: B018 - it raises
        if self.stakes is None:
            raise Unavailable("this node takes no bonds", remedy="ask its operator")
        return self.stakes
