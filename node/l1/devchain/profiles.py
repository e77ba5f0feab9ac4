"""Whose rules a development chain follows."""

from collections.abc import Set
from typing import NamedTuple, Protocol

from node.l1.errors import BadTransaction
from node.l1.escrow import Act, Slashing
from node.l1.transactions import GAS, Transaction


class Offence(NamedTuple):
    """What evidence shows, if it holds."""

    public_key: str
    """Whose it was, in hex."""
    act: str
    """The same for all evidence of one act."""


class Signed(NamedTuple):
    """What an act of a culprit says, if it is signed."""

    public_key: str
    """Who signs it, in hex."""
    task_id: str
    result_hash: str
    """Of the result that it vouches for, in hex."""


class Profile(Protocol):
    """What may differ between chains of one form."""

    @property
    def name(self) -> str:
        """Part of the chain's identity: it cannot change under an existing chain."""

    @property
    def types(self) -> Set[str]:
        """Types of transactions that the existing chain does not have."""

    def gas(self, tx: Transaction) -> int:
        """The gas of a transaction of a known type, found without much work.

        Raises BadTransaction for what cannot have any.
        """

    def check(self, tx: Transaction) -> None:
        """Raise BadTransaction for what no block may hold.

        Called once for a transaction whose sender signed it and has its fee, before it waits; if
        it is of one of `types`, the next block could hold it as far as the state goes.
        """

    def offence(self, slashing: Slashing) -> Offence:
        """What the evidence of a SLASH shows, without verifying it; raises BadTransaction."""

    def signed(self, act: Act) -> Signed:
        """What an act in an ESCROW_RULE says, without verifying it; raises BadTransaction."""


class Upstream:
    """The existing chain's: gas by type, and nothing in a result is looked at."""

    name = "upstream"
    types: Set[str] = frozenset()

    def gas(self, tx: Transaction) -> int:
        """By type."""
        return GAS[tx.tx_type]

    def check(self, tx: Transaction) -> None:
        """Everything passes."""

    def offence(self, slashing: Slashing) -> Offence:
        """There are no bonds."""
        raise BadTransaction(f"offender: {slashing.offender} has no bond, for nobody has")

    def signed(self, act: Act) -> Signed:
        """There are no escrows."""
        raise BadTransaction(f"acts: {act.address} can answer for nothing, for nobody can")


UPSTREAM = Upstream()
