"""Bonds as the API has them: put down and taken back, once for each key; or held by the chain."""

from collections.abc import Callable
from typing import Protocol

from node.amounts import Amount
from node.errors import Conflict, HeldByChain, InsufficientFunds
from node.settlement.bonds import Bond, Bonds
from node.settlement.errors import LedgerConflict
from storage.database import Database
from storage.store import Batch

Change = Callable[..., bool]


class Stakes(Protocol):
    """Where whoever has a bond asks."""

    def show(self, address: str) -> Bond:
        """What an address stakes."""

    async def bond(self, address: str, amount: Amount, key: str) -> Bond:
        """Stake more."""

    async def unbond(self, address: str, amount: Amount, key: str) -> Bond:
        """Take back a part."""


class ShownBonds(Protocol):
    """Bonds that are looked at only."""

    def find(self, address: str) -> Bond:
        """What the address stakes; nothing if it never did."""


class ChainStaking:
    """Bonds that the chain holds for a market: it shows what blocks have of them, and no more."""

    def __init__(self, bonds: ShownBonds) -> None:
        self._bonds = bonds

    def show(self, address: str) -> Bond:
        """What an address stakes, by the last confirmed block."""
        return self._bonds.find(address)

    async def bond(self, _address: str, _amount: Amount, _key: str) -> Bond:
        """Raise HeldByChain: only the owner of the account can."""
        raise _held("bond", "BOND")

    async def unbond(self, _address: str, _amount: Amount, _key: str) -> Bond:
        """Raise HeldByChain, likewise."""
        raise _held("unbond", "UNBOND")


def _held(command: str, kind: str) -> HeldByChain:
    return HeldByChain(
        "the chain holds the bonds, not this market",
        remedy=f"send {kind} from your own account: `tmnode wallet {command} AMOUNT --l1 URL`",
    )


class Staking:
    """The bonds of a market for those whose money they are."""

    def __init__(self, db: Database, bonds: Bonds, now_ms: Callable[[], int]) -> None:
        self._db = db
        self._bonds = bonds
        self._now_ms = now_ms

    def show(self, address: str) -> Bond:
        """What an address stakes."""
        return self._bonds.find(address)

    async def bond(self, address: str, amount: Amount, key: str) -> Bond:
        """Stake more of the address's free balance; the same key again changes nothing.

        Raises:
            InvalidInput: the amount is below 1 unit.
            InsufficientFunds: the free balance is lower.
            Conflict: the key was used for another amount.
        """
        return await self._change(self._bonds.bond, address, amount, key)

    async def unbond(self, address: str, amount: Amount, key: str) -> Bond:
        """Take back a part, which is free after the network's `unbonding_s`; raises as `bond`."""
        return await self._change(self._bonds.unbond, address, amount, key)

    async def _change(self, change: Change, address: str, amount: Amount, key: str) -> Bond:
        batch = Batch()
        try:
            change(batch, address, amount, key=key, at_ms=self._now_ms())
        except LedgerConflict as error:
            raise Conflict(
                "this key was used for another amount",
                field="idempotency_key",
                remedy="use a new key for another bond",
            ) from error
        except InsufficientFunds as error:
            raise InsufficientFunds(error.message, field="amount", remedy=error.remedy) from error
        if batch:
            self._db.stage(batch)
        await self._db.flushed()
        return self.show(address)
