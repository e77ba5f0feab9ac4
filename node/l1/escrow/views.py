"""What a chain of the `market` profile shows over HTTP, and the parameters it was made with."""

from typing import Literal

import msgspec

from node.amounts import Amount
from node.l1.escrow.forms import Opening


class MarketParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the chain fixes about deposits, escrows and bonds; times are in blocks."""

    deposit_notice_blocks: int = 20
    """Between a customer's notice and the way out that needs nobody."""
    max_escrow_blocks: int = 100_000
    """From the opening to deadline and grace: no market can bind money for longer."""
    unbonding_blocks: int = 100
    """From an UNBOND to the balance; longer than a dispute takes."""
    slash_bp: int = 5_000
    """Basis points of a bond, and of what is unbonding, that an offence costs."""


class DepositView(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /deposit/{market}/{customer}`; one that never was is 0."""

    market: str
    customer: str
    amount: Amount
    notice_height: int | None
    """Block of the customer's notice, until its next DEPOSIT."""
    free_height: int | None
    """From this block on a second WITHDRAW of the customer's pays the rest, and no escrow opens."""


class AppealView(msgspec.Struct, frozen=True, kw_only=True):
    """A dispute about an open escrow that is not decided."""

    fee: Amount
    deadline: int
    """Until this block no claim settles the escrow."""


class EscrowView(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /escrow/{id}`; 404 for an id that was never used."""

    escrow_id: str
    market: str
    status: Literal["open", "settled", "refunded"]
    customer: str
    amount: Amount
    opened_height: int
    closed_height: int | None
    claim: str | None
    """`claim_digest` of the claim by which it was settled."""
    opening: Opening | None
    """While it is open."""
    appeal: AppealView | None = None
    """While it is open and disputed."""
    award: str | None = None
    """`award_digest` of what a dispute about it came to."""

    @property
    def back_height(self) -> int | None:
        """After this block anybody may have it refunded; None for one that is closed."""
        if self.opening is None:
            return None
        disputed = 0 if self.appeal is None else self.appeal.deadline
        return max(self.opening.deadline, disputed) + self.opening.grace


class Unbonded(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a bond on its way out."""

    amount: Amount
    height: int
    """The block in which it is in the balance."""


class BondView(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /bond/{market}/{address}`; one that never was is 0, without a key."""

    market: str
    address: str
    public_key: str | None
    amount: Amount
    unbonding: tuple[Unbonded, ...]

    @property
    def total(self) -> int:
        """Units, with what is unbonding: all that a slash reaches."""
        return self.amount + sum(one.amount for one in self.unbonding)


class MarketView(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /market`: the parameters, and all that the chain holds."""

    parameters: MarketParameters
    deposits: Amount
    escrows: Amount
    bonds: Amount
    """With what is unbonding."""
    burned: Amount
    """The chain's whole figure, rewards that nobody gets included."""
