"""Payouts: what a payee is owed, many ledger entries in one TRANSFER.

`terms` says when a payee is paid; never while `fees` cannot pay for it, unless the payee asked for
it and pays the fee. While a payee's last payout is in no confirmed block, the next one waits for
it, and grows, unless it is full: both would be in the same block and cost as much twice. The
TRANSFER's payload carries the Merkle root over the digests of exactly those entries whose postings
add up to its amount (and fee, if the payee pays that), so whoever is shown the entries can check
that nothing else was paid or left out.
"""

import logging
from collections.abc import Iterator

import msgspec
import trio

from node.amounts import Amount, format_cpc
from node.settlement import accounts
from node.settlement.entries import Entry, digest
from node.settlement.ledger import Ledger
from node.settlement.outbox import Clock, Outbox
from node.settlement.owed import Owed, OwedBook
from node.settlement.parameters import SettlementParameters
from node.settlement.public_audit import FEE_BY_PAYEE, Shown
from node.settlement.terms import MAX_ENTRIES, TermsBook, is_due, latest_ms
from storage.database import Database
from storage.merkle import merkle_root
from storage.store import Batch
from storage.tables import Table

log = logging.getLogger(__name__)

MAX_AT_ONCE = 64
"""Payouts between waits for the disk."""

LOOK_EVERY_S = 1.0


class Payout(msgspec.Struct, frozen=True):
    """What one TRANSFER pays; found by its cause, which names the sender's record as well."""

    cause: str
    account: str
    to_address: str
    amount: Amount
    at_ms: int
    first: int
    """Sequence of the first entry it pays, `last` of the last."""
    last: int
    entries: int
    root: str
    """Hex of the Merkle root over the entries' digests."""
    fee: Amount = Amount(0)
    """Of the chain, taken from what the entries are worth: the payee asked to be paid at once."""


class _Cause(msgspec.Struct, frozen=True):
    """Whose root it is. Payouts of the same entries have one root, and different addresses."""

    cause: str


class Payouts:
    """Pays what is owed; `run` does it all the time."""

    def __init__(
        self,
        db: Database,
        ledger: Ledger,
        owed: OwedBook,
        outbox: Outbox,
        parameters: SettlementParameters,
        chain_id: str,
    ) -> None:
        self.terms = TermsBook(db, parameters)
        self.short_of_fees = False
        """Whether something is due that `fees` cannot pay the chain for."""
        self._db = db
        self._ledger = ledger
        self._owed = owed
        self._outbox = outbox
        self._parameters = parameters
        self._chain_id = chain_id
        self._payouts = Table(db, "settlement/payouts", Payout)
        self._causes = Table(db, "settlement/payout-roots", _Cause)

    async def run(self, clock_ms: Clock) -> None:
        """Pay until cancelled; the sender must be ready. Raises StorageFailed."""
        while True:
            while self.stage_due(clock_ms()) == MAX_AT_ONCE:
                await self._db.flushed()
            await trio.sleep(LOOK_EVERY_S)

    def stage_due(self, at_ms: int) -> int:
        """Stage the payouts that are due, oldest first, at most 64; returns how many.

        Raises Unavailable while the sender is not ready.
        """
        short, staged = False, 0
        for account, owed in self._due(at_ms):
            if staged == MAX_AT_ONCE:
                break
            if self._fees_suffice(account):
                self._stage(account, owed, at_ms)
                staged += 1
            else:
                short = True
        self._note_shortage(short)
        return staged

    def pay_now(self, account: str, at_ms: int) -> bool:
        """Stage what the account is owed, less the chain's fee; False if it is not worth that.

        Raises Unavailable while the sender is not ready.
        """
        fee = self._outbox.fee_to(self._parameters.address_of(account))
        owed, paid = self._owed.get(account), False
        while owed is not None and self._ledger.balance(account) > fee:
            self._stage(account, owed, at_ms, fee=fee)
            owed, paid = self._owed.get(account), True
        return paid

    def latest_ms(self, account: str) -> int | None:
        """When the account is paid at the latest; None if it is owed nothing."""
        owed = self._owed.get(account)
        return None if owed is None else latest_ms(self._parameters, owed)

    def waiting(self, at_ms: int) -> Iterator[tuple[str, Owed, bool]]:
        """Accounts that are owed something, and whether they are to be paid now."""
        for account, owed in self._owed.items():
            yield account, owed, self._is_due(account, owed, at_ms)

    def patient(self, at_ms: int) -> Iterator[int]:
        """What each account is owed that has waited for the network's interval and is not due, but
        for those whose last payout is in no block yet."""
        before_ms = at_ms - self._parameters.payout_interval_s * 1000
        for account, owed, due in self.waiting(at_ms):
            if not due and owed.since_ms <= before_ms and not self._under_way(account):
                yield self._ledger.balance(account)

    def find(self, cause: str) -> Payout | None:
        """The payout of a cause, or None."""
        return self._payouts.get(cause.encode())

    def shown(self, root: str, to_address: str) -> Shown | None:
        """The entries of the payout with this root to this address: what anybody may see."""
        found = self._causes.get(_place(root, to_address))
        payout = None if found is None else self.find(found.cause)
        return None if payout is None else Shown(payout.account, tuple(self.entries(payout)))

    def entries(self, payout: Payout) -> Iterator[Entry]:
        """The entries a payout pays, in the order of the leaves under its root."""
        for entry in self._ledger.entries(payout.account, start=payout.first):
            if entry.sequence > payout.last:
                return
            if entry.amount(payout.account) > 0:
                yield entry

    def _due(self, at_ms: int) -> list[tuple[str, Owed]]:
        due = [(account, owed) for account, owed, is_due in self.waiting(at_ms) if is_due]
        return sorted(due, key=lambda one: (one[1].since_ms, one[0]))

    def _is_due(self, account: str, owed: Owed, at_ms: int) -> bool:
        threshold = self.terms.threshold(accounts.address_in(account))
        amount = self._ledger.balance(account)
        due = is_due(self._parameters, threshold, amount, owed, at_ms)
        return due and (owed.entries >= MAX_ENTRIES or not self._under_way(account))

    def _under_way(self, account: str) -> bool:
        return any(self._ledger.holdings(accounts.outbox(f"payout:{account}:")))

    def _stage(self, account: str, owed: Owed, at_ms: int, fee: int = 0) -> None:
        """Pay as many of the account's oldest unpaid entries as fit, in one batch.

        A `fee` is taken from them; without one, `fees` pays the chain.
        """
        batch = Batch()
        entries, rest = self._unpaid(account, owed, fee)
        payout = self._payout(account, entries, at_ms, fee)
        self._payouts.put(batch, payout.cause.encode(), payout)
        self._causes.put(batch, _place(payout.root, payout.to_address), _Cause(payout.cause))
        self._owed.replace(batch, account, rest)
        kind = _KINDS.get(account, "payout")
        self._outbox.pay(
            batch,
            cause=payout.cause,
            kind=kind,
            source=account,
            fee_from=account if fee else accounts.FEES,
            to=payout.to_address,
            amount=payout.amount,
            payload={"tmnode": kind, "entries": payout.entries, "root": payout.root}
            | (FEE_BY_PAYEE if fee else {}),
            at_ms=at_ms,
        )
        self._db.stage(batch)
        log.info("%s: %s CPC for %d entries", payout.cause, format_cpc(payout.amount), len(entries))

    def _payout(self, account: str, entries: list[Entry], at_ms: int, fee: int) -> Payout:
        first, last = entries[0].sequence, entries[-1].sequence
        return Payout(
            cause=f"payout:{account}:{first}",
            account=account,
            to_address=self._parameters.address_of(account),
            amount=Amount(sum(entry.amount(account) for entry in entries) - fee),
            fee=Amount(fee),
            at_ms=at_ms,
            first=first,
            last=last,
            entries=len(entries),
            root=merkle_root([digest(self._chain_id, entry) for entry in entries]).hex(),
        )

    def _unpaid(self, account: str, owed: Owed, fee: int) -> tuple[list[Entry], Owed | None]:
        """The entries of the next payout, which is worth its fee, and what stays owed after it."""
        least = max(self._parameters.min_payout, fee + 1)
        entries: list[Entry] = []
        total = 0
        for entry in self._ledger.entries(account, start=owed.first):
            if entry.amount(account) < 0:  # an earlier payout
                continue
            if len(entries) >= MAX_ENTRIES and total >= least:
                return entries, Owed(entry.sequence, entry.at_ms, owed.entries - len(entries))
            entries.append(entry)
            total += entry.amount(account)
        return entries, None

    def _fees_suffice(self, account: str) -> bool:
        fee = self._outbox.fee_to(self._parameters.address_of(account))
        return self._ledger.balance(accounts.FEES) >= fee

    def _note_shortage(self, short: bool) -> None:
        if short and not self.short_of_fees:
            log.warning("payouts wait: `fees` holds less than the L1 takes for a TRANSFER")
        self.short_of_fees = short


def _place(root: str, to_address: str) -> bytes:
    return f"{root}:{to_address}".encode()


_KINDS = {accounts.BURN: "burn", accounts.TREASURY: "treasury"}
