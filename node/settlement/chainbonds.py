"""Bonds at a market whose money the chain holds: a copy of the chain's, from confirmed blocks.

    BOND                l1 -> bond
    UNBOND              bond -> unbonding
    and its block       unbonding -> l1
    SLASH               bond, unbonding -> l1
    ESCROW_RULE         bond, unbonding -> what an overturned result costs, see `chaindisputes`

By the chain's own arithmetic, `node.l1.escrow.Bond`: what an entry says is what the chain did.
"""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from node.l1.escrow import Bond as ChainBond
from node.l1.escrow import Bonding, MarketParameters, Slashing, Unbonding
from node.settlement import accounts
from node.settlement.bonds import Bond, Bonded
from node.settlement.chainterms import Terms
from node.settlement.entries import Posting, move, posting
from node.settlement.ledger import Ledger
from node.settlement.parameters import SettlementParameters
from p2p.encoding import u64
from storage.database import Database
from storage.store import Batch
from storage.tables import Table


class _Due(msgspec.Struct, frozen=True):
    """An entry of the order in which parts of bonds come free."""

    address: str


class ChainBonds(Bonded):
    """The bonds at the market whose account is `market`."""

    def __init__(
        self,
        db: Database,
        ledger: Ledger,
        parameters: SettlementParameters,
        terms: Terms,
        market: str,
    ) -> None:
        super().__init__(ledger, parameters)
        self._terms = terms
        self._market = market
        self._bonds = Table(db, "settlement/chain-bonds", ChainBond)
        self._order = Table(db, "settlement/chain-bonds-due", _Due)
        self._last: tuple[int, int] | None = None
        """Height and time of the last block that was booked in this life."""

    def find(self, address: str) -> Bond:
        """What the address stakes; nothing if it never did.

        When it comes back is about when the chain's block will come; None before any was booked.
        """
        known = self._bonds.get(address.encode())
        if known is None or not known.leaving or self._last is None:
            return self.stake(address, None)
        height, at_ms = self._last
        blocks = known.leaving[-1].height - height
        return self.stake(address, at_ms + round(blocks * self._parameters.escrow_block_s * 1000))

    def suffices(
        self, address: str, least: int, batch: Batch | None = None, *, key: bytes | None = None
    ) -> bool:
        """As `BondBook.suffices`: nobody can take from a bond for another key."""
        known = self._bonds.get(address.encode(), batch)
        vouches = key is None or (known is not None and known.public_key == key.hex())
        return least <= 0 or (vouches and super().suffices(address, least, batch))

    def due(self, _now_ms: int) -> Iterator[str]:
        """Nobody waits for the market: the chain gives back what was taken back."""
        return iter(())

    def release(self, _batch: Batch, _address: str, _at_ms: int) -> bool:
        """There is nothing to give."""
        return False

    def hold(self, _batch: Batch, _addresses: Iterable[str], _since_ms: int, _at_ms: int) -> None:
        """Nothing can be held: what leaves is within reach for as long as the chain says."""

    def known(self) -> Iterator[str]:
        """Everybody with a bond here."""
        return (key.decode() for key, _ in self._bonds.items())

    def begin(self, batch: Batch, height: int, at_ms: int) -> None:
        """A block begins: what comes free in it is its owners' before its transactions."""
        self._last = height, at_ms
        for key, due in list(self._order.items(u64(height), u64(height + 1))):
            self._order.delete(batch, key)
            bond = self._get(batch, due.address)
            if bond is not None:
                after, arrived = bond.arrive(height)
                self._put(batch, due.address, after)
                source = accounts.unbonding(due.address)
                name = f"{due.address}:{height}"
                self._move(batch, "release", name, source, accounts.L1, arrived, at_ms)

    def bonded(
        self, batch: Batch, form: Bonding, address: str, units: int, name: str, at_ms: int
    ) -> None:
        """A BOND at this market; `name` is the transaction's."""
        before = self._get(batch, address) or ChainBond(form.public_key)
        self._put(batch, address, before.more(units))
        self._move(batch, "bond", name, accounts.L1, accounts.bond(address), units, at_ms)

    def unbonded(
        self, batch: Batch, form: Unbonding, address: str, height: int, name: str, at_ms: int
    ) -> None:
        """An UNBOND in the block of a height, if it is from this market."""
        before = self._get(batch, address)
        if form.market != self._market or before is None:
            return
        free = height + self._rules.unbonding_blocks
        self._put(batch, address, before.leave(form.amount, free))
        self._order.put(batch, u64(free) + address.encode(), _Due(address))
        source, target = accounts.bond(address), accounts.unbonding(address)
        self._move(batch, "unbond", name, source, target, form.amount, at_ms)

    def slashed(self, batch: Batch, form: Slashing, name: str, at_ms: int) -> None:
        """A SLASH for an offence, if the bond at this market pays for it."""
        bond = self._get(batch, form.offender)
        if form.market != self._market or bond is None:
            return
        taken = self.take(batch, [(form.offender, bond.public_key)])
        total = -sum(one.amount for one in taken)
        if total:
            postings = (*taken, posting(accounts.L1, total))
            self._post(batch, "slash", f"slash:{name}", postings, at_ms)

    def take(self, batch: Batch, culprits: Iterable[tuple[str, str]]) -> tuple[Posting, ...]:
        """Slash the bonds of these, by account and the key that did it: what leaves their accounts.

        Whoever has no bond for that key loses nothing.
        """
        taken: list[Posting] = []
        for address, public_key in culprits:
            before = self._get(batch, address)
            if before is not None and before.public_key == public_key:
                after, total = before.slash(self._rules.slash_bp)
                self._put(batch, address, after)
                first = before.units - after.units
                parts = (
                    (accounts.bond(address), first),
                    (accounts.unbonding(address), total - first),
                )
                taken += [posting(name, -units) for name, units in parts if units]
        return tuple(taken)

    @property
    def _rules(self) -> MarketParameters:
        assert self._terms.known is not None, "no block is booked before the terms are known"
        return self._terms.known

    def _get(self, batch: Batch, address: str) -> ChainBond | None:
        return self._bonds.get(address.encode(), batch)

    def _put(self, batch: Batch, address: str, bond: ChainBond) -> None:
        """A bond of nothing is none, and binds its account to no key."""
        if bond.total:
            self._bonds.put(batch, address.encode(), bond)
        else:
            self._bonds.delete(batch, address.encode())

    def _move(
        self,
        batch: Batch,
        kind: str,
        name: str,
        source: str,
        target: str,
        units: int,
        at_ms: int,
    ) -> None:
        if units:
            self._post(batch, kind, f"{kind}:{name}", move(source, target, units), at_ms)

    def _post(
        self, batch: Batch, kind: str, cause: str, postings: Sequence[Posting], at_ms: int
    ) -> None:
        self._ledger.post(batch, cause=cause, kind=kind, postings=postings, at_ms=at_ms)
