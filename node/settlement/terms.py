"""When a payee is paid: by the network's rule, or by a threshold of the payee's own.

By the network's rule a payee waits for little: an age, a number of entries, or a sum, whichever
comes first. A payee who would rather have few transactions, or many, sets a threshold, between the
network's `min_payout` and `max_payout_threshold`, and is paid at that sum. In either case nobody
waits longer than `payout_max_age_s`, however little it is, as long as it is worth its fee.
"""

import msgspec

from node.amounts import Amount, format_cpc
from node.errors import Conflict, InvalidInput
from node.settlement.owed import Owed
from node.settlement.parameters import SettlementParameters
from storage.database import Database
from storage.store import Batch
from storage.tables import Table

MAX_ENTRIES = 1_024
"""Entries in one payout, so that making it blocks for less than a tenth of a second."""
MAX_TERMS = 65_536
"""Payees with a threshold of their own."""


class Terms(msgspec.Struct, frozen=True):
    """What a payee asked for."""

    threshold: Amount
    """Units of 10^-18 CPC at which to pay; 0 for the network's rule."""
    asked_ms: int
    """When: what was asked for later counts."""


class TermsBook:
    """The thresholds of a market's payees, by their addresses."""

    def __init__(self, db: Database, parameters: SettlementParameters) -> None:
        self._table = Table(db, "settlement/payout-terms", Terms)
        self._parameters = parameters
        self._count = sum(1 for _ in self._table.items())

    def threshold(self, address: str) -> Amount | None:
        """The payee's own threshold; None for whoever is paid by the network's rule."""
        found = self._table.get(address.encode())
        return found.threshold if found is not None and found.threshold else None

    def set(self, batch: Batch, address: str, threshold: int, asked_ms: int) -> bool:
        """Note a payee's wish, 0 for the network's rule; False if a later one is known.

        Raises:
            InvalidInput: the threshold is not between the network's bounds.
            Conflict: too many payees have one.
        """
        self._check(threshold)
        known = self._table.get(address.encode(), batch)
        if known is not None and known.asked_ms >= asked_ms:
            return False
        if known is None and self._count >= MAX_TERMS:
            raise Conflict("too many payees have a threshold", remedy="leave it to the network")
        self._count += known is None
        self._table.put(batch, address.encode(), Terms(Amount(threshold), asked_ms))
        return True

    def _check(self, threshold: int) -> None:
        low, high = self._parameters.min_payout, self._parameters.max_payout_threshold
        if threshold and not low <= threshold <= high:
            raise InvalidInput(
                f"{format_cpc(threshold)} CPC is not a threshold of this network",
                field="threshold",
                remedy=f"use {format_cpc(low)} to {format_cpc(high)}, or 0 for the network's rule",
            )


def is_due(
    rules: SettlementParameters, threshold: Amount | None, amount: int, owed: Owed, at_ms: int
) -> bool:
    """Whether `amount` units that are `owed` are to be paid now."""
    if at_ms >= latest_ms(rules, owed):
        return amount >= rules.transfer_fee
    if amount < rules.min_payout:
        return False
    if threshold is not None:
        return amount >= threshold or owed.entries >= MAX_ENTRIES
    return (
        at_ms - owed.since_ms >= rules.payout_interval_s * 1000
        or owed.entries >= rules.payout_entries
        or amount >= rules.payout_threshold
    )


def latest_ms(rules: SettlementParameters, owed: Owed) -> int:
    """When an unpaid entry has waited long enough, whatever it is worth; Unix milliseconds."""
    return owed.since_ms + rules.payout_max_age_s * 1000
