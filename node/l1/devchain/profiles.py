"""Whose rules a development chain follows."""

from typing import Protocol

from node.l1.transactions import GAS, Transaction


class Profile(Protocol):
    """What may differ between chains of one form."""

    @property
    def name(self) -> str:
        """Part of the chain's identity: it cannot change under an existing chain."""

    def gas(self, tx: Transaction) -> int:
        """The gas of a transaction of a known type, found without much work.

        Raises BadTransaction for what cannot have any.
        """

    def check(self, tx: Transaction) -> None:
        """Raise BadTransaction for what no block may hold.

        Called once for a transaction whose sender signed it and has its fee, before it waits.
        """


class Upstream:
    """The existing chain's: gas by type, and nothing in a result is looked at."""

    name = "upstream"

    def gas(self, tx: Transaction) -> int:
        """By type."""
        return GAS[tx.tx_type]

    def check(self, tx: Transaction) -> None:
        """Everything passes."""


UPSTREAM = Upstream()
