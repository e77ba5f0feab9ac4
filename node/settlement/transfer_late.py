"""What is late of the money that a market itself holds: pay, bonds, payouts, payments, and money
that is nobody's."""

from collections.abc import Iterator

from node import deadlines
from node.amounts import format_cpc
from node.settlement import accounts
from node.settlement.bonds import Bonds
from node.settlement.late import RESTART, Late, late_payments, ms, undone
from node.settlement.ledger import Ledger
from node.settlement.owed import Owed
from node.settlement.parameters import SettlementParameters
from node.settlement.payouts import Payouts
from node.settlement.rewards import Rewards
from node.settlement.terms import latest_ms
from node.settlement.unclaimed import unclaimed_entries


class TransferLate:
    """Looks at the books of one market."""

    def __init__(
        self,
        ledger: Ledger,
        parameters: SettlementParameters,
        *,
        rewards: Rewards,
        bonds: Bonds,
        payouts: Payouts,
    ) -> None:
        self._ledger = ledger
        self._parameters = parameters
        self._rewards = rewards
        self._bonds = bonds
        self._payouts = payouts

    def found(self, now_ms: int, trouble: str) -> tuple[Iterator[Late], ...]:
        """As `Settlement.late`."""
        return (
            self._maturing(now_ms),
            self._unbonding(now_ms),
            self._unpaid(now_ms, trouble),
            late_payments(self._ledger, now_ms, trouble),
            self._unclaimed(),
        )

    def _maturing(self, now_ms: int) -> Iterator[Late]:
        for task_id in self._rewards.due(now_ms - ms(deadlines.GRACE_S) - 1):
            due_ms = self._rewards.due_ms(task_id)
            yield undone("maturing pay", task_id, due_ms, "the market did not pay it")

    def _unbonding(self, now_ms: int) -> Iterator[Late]:
        before_ms = now_ms - ms(deadlines.GRACE_S) - 1
        for address in self._bonds.due(before_ms):
            due_ms = self._bonds.find(address).release_ms or before_ms
            yield undone("unbonding", address, due_ms, "the market did not release it")

    def _unpaid(self, now_ms: int, trouble: str) -> Iterator[Late]:
        for account, owed, is_due in self._payouts.waiting(now_ms):
            until_ms = latest_ms(self._parameters, owed)
            if is_due:
                until_ms = self._due_since_ms(account, owed)
            if until_ms + ms(deadlines.GRACE_S) < now_ms:
                reason, remedy = self._why_unpaid(account, trouble, is_due=is_due)
                yield Late("payout", account, until_ms + ms(deadlines.GRACE_S), reason, remedy)

    def _due_since_ms(self, account: str, owed: Owed) -> int:
        """When it became due, by the age of its oldest entry; the latest that it can have been."""
        own = self._payouts.terms.threshold(accounts.address_in(account))
        if own is not None:
            return latest_ms(self._parameters, owed)
        return owed.since_ms + self._parameters.payout_interval_s * 1000

    def _why_unpaid(self, account: str, trouble: str, *, is_due: bool) -> tuple[str, str]:
        if not is_due:
            units, fee = self._ledger.balance(account), self._parameters.transfer_fee
            reason = f"{format_cpc(units)} CPC are less than the L1's fee, {format_cpc(fee)} CPC"
            return reason, "nothing: it is paid with what is earned next"
        if trouble:
            return trouble, "restore the L1; it is paid then"
        if self._payouts.short_of_fees:
            remedy = "`tmnode wallet fees AMOUNT`; the payee can also have it paid now"
            return "`fees` holds less than a TRANSFER costs", remedy
        return "the market did not pay it", RESTART

    def _unclaimed(self) -> Iterator[Late]:
        for entry in unclaimed_entries(self._ledger):
            yield Late(
                "unclaimed money",
                f"{format_cpc(entry.amount(accounts.UNCLAIMED))} CPC of {entry.cause}",
                entry.at_ms,
                "it came from no account of this network, or the L1 lost the payment",
                f"find out whose it is: `tmnode wallet unclaimed {entry.sequence} ADDRESS`",
            )
