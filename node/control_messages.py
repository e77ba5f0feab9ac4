"""What is said over a node's control socket, and what the commands act on."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from storage.backup import BackupReport


class BackupRequest(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="command", tag="backup"
):
    """Copy the database of the running node to a new directory."""

    to: str
    """An absolute path."""


class CreditRequest(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="command", tag="credit"
):
    """Give a customer of this market credit; without an address, only show it."""

    address: str | None = None
    limit_cpc: str = "0"
    write_off: bool = False
    """Let the operator pay what is owed first."""


class UnclaimedRequest(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="command", tag="unclaimed"
):
    """Give unclaimed money to a customer; without a number, only show it."""

    number: int | None = None
    """Of the ledger's entry that left it unclaimed."""
    address: str = ""


class FeesRequest(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="command", tag="fees"
):
    """Give money of the operator's for the chain's fees; nothing only shows them."""

    amount_cpc: str
    key: str
    """The same key gives once."""


class UnclaimedShown(msgspec.Struct, frozen=True):
    """Money that one entry left unclaimed."""

    number: int
    at_ms: int
    cause: str
    amount_cpc: str


class CreditShown(msgspec.Struct, frozen=True):
    """The credit of one customer."""

    address: str
    limit_cpc: str
    owed_cpc: str
    backer: str
    """Account whose money is behind it."""


class ControlAnswer(msgspec.Struct, frozen=True):
    """What came of it: a report, credit, unclaimed money, fees, or an error."""

    report: BackupReport | None = None
    credit: tuple[CreditShown, ...] | None = None
    unclaimed: tuple[UnclaimedShown, ...] | None = None
    fees_cpc: str | None = None
    error: str = ""
    code: str = ""
    """Of the error."""


class CreditLike(Protocol):
    """A customer's credit as settlement tells it."""

    @property
    def address(self) -> str:
        """The customer's."""

    @property
    def limit(self) -> int:
        """Units of 10^-18 CPC, as is `owed`."""

    @property
    def owed(self) -> int:
        """By now."""

    @property
    def backer(self) -> str:
        """Whose money is behind it."""


class CreditGiver(Protocol):
    """`node.settlement.credit.CreditDesk`."""

    def views(self) -> Sequence[CreditLike]:
        """All credit."""
        ...

    async def set_limit(self, customer: str, limit: int, *, write_off: bool = ...) -> CreditLike:
        """Set a customer's limit durably."""
        ...


class EntryLike(Protocol):
    """`node.settlement.entries.Entry`."""

    @property
    def sequence(self) -> int:
        """Its number."""

    @property
    def at_ms(self) -> int:
        """When it was booked."""

    @property
    def cause(self) -> str:
        """What for."""

    def amount(self, account: str) -> int:
        """Units that it gave the account."""
        ...


class UnclaimedGiver(Protocol):
    """`node.settlement.unclaimed.UnclaimedDesk`."""

    def entries(self) -> Iterable[EntryLike]:
        """What is unclaimed."""
        ...

    async def give(self, number: int, address: str) -> EntryLike:
        """Give it to a customer durably."""
        ...


class FeeGiver(Protocol):
    """`node.settlement.feedesk.FeeDesk`."""

    async def give(self, amount: int, key: str) -> int:
        """Give so much, durably; what there is then."""
        ...


@dataclass(frozen=True)
class Controls:
    """What the commands act on."""

    backup: Callable[[Path], Awaitable[BackupReport]]
    credit: CreditGiver | None = None
    """None without the market role."""
    unclaimed: UnclaimedGiver | None = None
    """None, too, where the chain holds the money, as are those below."""
    fees: FeeGiver | None = None
    held_by_chain: bool = False
    """Whether this is a market whose customers' money the chain holds."""


Request = BackupRequest | CreditRequest | UnclaimedRequest | FeesRequest
