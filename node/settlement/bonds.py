"""Bonds: money that whoever answers for a false result loses.

    bond      customer -> bond
    unbond    bond -> unbonding
    release   unbonding -> customer       `unbonding_s` later, by itself
    slash     bond, unbonding -> what an overturned result costs, see `appeals`

A bond is put down from the address's own money at the market. What is taken back stays within a
slash's reach until no result that it stood for can be disputed any more; taking back more before
that starts the time anew for all of it, and so does a result of a task that its owner was drawn for
with the bond. Each stages into the caller's batch and is idempotent by
the caller's key, and whatever raises has not touched the batch.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

import msgspec

from node.amounts import Amount, format_cpc
from node.errors import Conflict, InsufficientFunds, InvalidInput
from node.settlement import accounts
from node.settlement.entries import Posting, move, name_of, posting
from node.settlement.ledger import Ledger
from node.settlement.parameters import SettlementParameters
from node.split import BASIS_POINTS
from p2p.encoding import u64
from storage.database import Database
from storage.store import Batch
from storage.tables import Table


class Unbonding(msgspec.Struct, frozen=True):
    """When what an address has taken back is its own again."""

    due_ms: int
    name: str
    """Of the last taking back, which names the release too."""
    since_ms: int
    """When that was."""


class _Due(msgspec.Struct, frozen=True):
    """An entry of the order in which bonds come back."""

    address: str


class Bond(msgspec.Struct, frozen=True):
    """What an address stakes, in units of 10^-18 CPC."""

    address: str
    bonded: Amount
    unbonding: Amount
    release_ms: int | None
    """When what is unbonding comes back, Unix milliseconds; None if nothing is."""


class Signer(NamedTuple):
    """A worker that signed a result, and answers for it with a bond."""

    address: str
    key: bytes
    """Ed25519, of its node."""


def slashed(bonded: int, unbonding: int, slash_bp: int) -> tuple[int, int]:
    """Units that a slash takes of both: a part of their sum, from what is bonded first."""
    part = (bonded + unbonding) * slash_bp // BASIS_POINTS
    first = min(part, bonded)
    return first, part - first


class Bonded:
    """What the ledger says of the bonds at one market, whoever holds them."""

    def __init__(self, ledger: Ledger, parameters: SettlementParameters) -> None:
        self._ledger = ledger
        self._parameters = parameters

    def suffices(
        self,
        address: str,
        least: int,
        batch: Batch | None = None,
        *,
        key: bytes | None = None,  # noqa: ARG002 - held here a bond is its account's, with any key
    ) -> bool:
        """As `BondBook.suffices`."""
        return least <= 0 or self._ledger.balance(accounts.bond(address), batch) >= least

    def window_s(self, signers: Collection[Signer], batch: Batch | None = None) -> float:
        """As `BondBook.window_s`."""
        rules, least = self._parameters, self._parameters.worker_bond
        known = least <= 0 or len(signers) > 0  # nobody's bond vouches for what nobody signed
        bonded = known and all(
            self.suffices(one.address, least, batch, key=one.key) for one in signers
        )
        return rules.dispute_window_s + (0.0 if bonded else rules.unbonded_wait_s)

    def stake(self, address: str, release_ms: int | None) -> Bond:
        """What the address stakes, with when what is unbonding comes back."""
        return Bond(
            address=address,
            bonded=Amount(self._ledger.balance(accounts.bond(address))),
            unbonding=Amount(self._ledger.balance(accounts.unbonding(address))),
            release_ms=release_ms,
        )


class Bonds(Bonded):
    """The bonds at one market that holds them itself."""

    def __init__(self, db: Database, ledger: Ledger, parameters: SettlementParameters) -> None:
        super().__init__(ledger, parameters)
        self._unbonding = Table(db, "settlement/unbonding", Unbonding)
        self._order = Table(db, "settlement/unbonding-due", _Due)

    def find(self, address: str) -> Bond:
        """What the address stakes; nothing if it never did."""
        record = self._unbonding.get(address.encode())
        return self.stake(address, None if record is None else record.due_ms)

    def bond(self, batch: Batch, address: str, amount: int, *, key: str, at_ms: int) -> bool:
        """Stake `amount` more units of the address's own; False if that was done before.

        Raises:
            InvalidInput: the amount is below 1 unit.
            InsufficientFunds: the address has less to spend.
            LedgerConflict: the key was used for another amount.
        """
        postings = move(accounts.customer(address), accounts.bond(address), amount)
        return self._post(batch, "bond", name_of(address, key), _positive(amount, postings), at_ms)

    def unbond(self, batch: Batch, address: str, amount: int, *, key: str, at_ms: int) -> bool:
        """Take `amount` units back, to be had in `unbonding_s`; False if that was done before.

        Raises:
            InvalidInput: the amount is below 1 unit.
            InsufficientFunds: less is bonded.
            LedgerConflict: the key was used for another amount.
        """
        name = name_of(address, key)
        postings = move(accounts.bond(address), accounts.unbonding(address), amount)
        missing = amount - self._ledger.balance(accounts.bond(address), batch)
        if missing > 0 and self._ledger.find(f"unbond:{name}", batch) is None:
            raise InsufficientFunds(
                f"{format_cpc(missing)} CPC of it are not bonded",
                field="amount",
                remedy="take back what is bonded, at most",
            )
        if not self._post(batch, "unbond", name, _positive(amount, postings), at_ms):
            return False
        self._keep(batch, address, Unbonding(self._due_ms(at_ms), name, at_ms))
        return True

    def hold(self, batch: Batch, addresses: Iterable[str], since_ms: int, at_ms: int) -> None:
        """Have what these addresses took back at `since_ms` or later wait from `at_ms` on.

        For those who answer for a result of `at_ms` that they were drawn for at `since_ms`: its
        window begins only now. What was taken back before that did not count when they were drawn.
        """
        for address in addresses:
            record = self._unbonding.get(address.encode(), batch)
            if record is not None and record.since_ms >= since_ms:
                due_ms = max(record.due_ms, self._due_ms(at_ms))
                later = msgspec.structs.replace(record, due_ms=due_ms)
                self._keep(batch, address, later)

    def due(self, now_ms: int) -> Iterator[str]:
        """Addresses that get back by now what they have taken back, the longest due first."""
        return (due.address for _, due in self._order.items(stop=u64(now_ms + 1)))

    def release(self, batch: Batch, address: str, at_ms: int) -> bool:
        """Give an address what it has taken back; False if nothing is unbonding.

        Raises Conflict if that is not due yet.
        """
        record = self._unbonding.get(address.encode(), batch)
        if record is None:
            return False
        if at_ms < record.due_ms:
            raise Conflict(f"the bond of {address} is not due yet")
        left = self._ledger.balance(accounts.unbonding(address), batch)
        if left:  # else a slash took all of it
            postings = move(accounts.unbonding(address), accounts.customer(address), left)
            self._post(batch, "release", record.name, postings, at_ms)
        self._forget(batch, address)
        return True

    def slash(self, batch: Batch, addresses: Iterable[str]) -> tuple[Posting, ...]:
        """What `slash_bp` of each address's stake takes from its accounts, to be posted."""
        taken: list[Posting] = []
        for address in sorted(set(addresses)):
            names = accounts.bond(address), accounts.unbonding(address)
            bonded, unbonding = (self._ledger.balance(name, batch) for name in names)
            parts = slashed(bonded, unbonding, self._parameters.slash_bp)
            taken += [posting(name, -part) for name, part in zip(names, parts, strict=True) if part]
        return tuple(taken)

    def _due_ms(self, at_ms: int) -> int:
        return at_ms + round(self._parameters.unbonding_s * 1000)

    def _keep(self, batch: Batch, address: str, record: Unbonding) -> None:
        self._forget(batch, address)
        self._unbonding.put(batch, address.encode(), record)
        self._order.put(batch, _order_key(address, record.due_ms), _Due(address))

    def _forget(self, batch: Batch, address: str) -> None:
        record = self._unbonding.get(address.encode(), batch)
        if record is not None:
            self._unbonding.delete(batch, address.encode())
            self._order.delete(batch, _order_key(address, record.due_ms))

    def _post(
        self, batch: Batch, kind: str, name: str, postings: tuple[Posting, ...], at_ms: int
    ) -> bool:
        cause = f"{kind}:{name}"
        return self._ledger.post(batch, cause=cause, kind=kind, postings=postings, at_ms=at_ms)


def _order_key(address: str, due_ms: int) -> bytes:
    return u64(due_ms) + address.encode()


def _positive(amount: int, postings: tuple[Posting, ...]) -> tuple[Posting, ...]:
    if amount < 1:
        raise InvalidInput(f"is {amount} units", field="amount")
    return postings
