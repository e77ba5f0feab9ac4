"""What a network fixes about its money: one struct, read from the network file."""

import msgspec

from node.amounts import UNITS_PER_CPC, Amount
from node.errors import ConfigError
from node.l1.transactions import GAS
from node.settlement.accounts import BURN, TREASURY, address_in
from node.split import BASIS_POINTS, Shares

BURN_ADDRESS = "cpc1burn" + "0" * 34
"""Where burned CPC go: no key can own it. The chain derives a sender from its key as bech32, whose
alphabet has no `b`, so no signature can ever spend from this address; its balance is public."""

TREASURY_ADDRESS = "cpc1treasury" + "0" * 42
"""The existing chain's own treasury (a label like the above), for networks that name no other."""


_AT_LEAST_ONE = (
    "gas_price",
    "payout_interval_s",
    "payout_entries",
    "confirmations",
    "escrow_grace_blocks",
)
_NOT_NEGATIVE = (
    "fee_reserve",
    "dispute_window_s",
    "unbonded_wait_s",
    "appeal_s",
    "worker_bond",
    "escrow_batch_s",
)


class SettlementParameters(msgspec.Struct, frozen=True, kw_only=True):
    """Money of a network. Amounts are units of 10^-18 CPC; the values here are the devnet's.

    Raises ConfigError for values under which money could get stuck or a payout cost more than it
    pays.
    """

    shares: Shares = Shares()

    dispute_window_s: float = 5.0
    """How long the parts of a completed task's reward wait before they are anybody's."""

    unbonded_wait_s: float = 0.0
    """How much longer where a worker of the task has less than `worker_bond` bonded."""

    appeal_s: float = 3_600.0
    """Time that a jury has, at most."""

    worker_bond: Amount = Amount(0)
    """Units that a worker has to have bonded for its pay not to wait longer."""

    slash_bp: int = 5_000
    """Basis points of its bond that whoever answers for a false result loses."""

    unbonding_s: float = 7_200.0
    """How long a bond that is taken back can still be slashed."""

    fee_reserve: Amount = Amount(1_000_000_000)
    """Units of every reward's validators' part that pay L1 fees: about 47 TRANSFERs."""

    gas_price: int = 1_000
    """Units per gas; the chain's minimum."""

    payout_interval_s: int = 10
    """Age of the oldest unpaid entry at which a payee is paid."""

    payout_entries: int = 256
    """Number of unpaid entries at which a payee is paid before that."""

    payout_threshold: Amount = Amount(10 * UNITS_PER_CPC)
    """Units owed at which a payee is paid before that."""

    min_payout: Amount = Amount(2_100_000_000)
    """Units below which a payee waits, so that the fee is at most a hundredth of a payout."""

    payout_max_age_s: int = 604_800
    """Age of the oldest unpaid entry at which a payee is paid in any case that is worth the fee."""

    max_payout_threshold: Amount = Amount(1_000 * UNITS_PER_CPC)
    """Units that a payee's own threshold may be at most."""

    burn_address: str = BURN_ADDRESS
    treasury_address: str = TREASURY_ADDRESS

    confirmations: int = 2
    """Blocks, the one with the transaction included, before money counts as moved."""

    escrow_block_s: float = 1.0
    """Seconds between blocks, by which deadlines are told to a chain that holds escrows."""

    escrow_batch_s: float = 1.0
    """Seconds that openings of escrows, and claims, wait for others to share a transaction with."""

    escrow_grace_blocks: int = 120
    """Blocks from a task's deadline until anybody may have its escrow refunded."""

    def address_of(self, account: str) -> str:
        """Where what the ledger's account holds is paid to."""
        labels = {BURN: self.burn_address, TREASURY: self.treasury_address}
        return labels.get(account) or address_in(account)

    def check_market(self, address: str) -> None:
        """Raise ConfigError unless a market with this L1 account can pay the labels."""
        if address in (self.burn_address, self.treasury_address):
            raise ConfigError("the market's own account cannot be the burn's or the treasury's")

    @property
    def longest_dispute_s(self) -> float:
        """How long after its task's end a reward may have to stay where it is, at most."""
        return self.dispute_window_s + self.unbonded_wait_s + self.appeal_s

    @property
    def transfer_fee(self) -> int:
        """Units that one TRANSFER costs."""
        return GAS["TRANSFER"] * self.gas_price

    def __post_init__(self) -> None:
        for field in _AT_LEAST_ONE:
            if getattr(self, field) < 1:
                raise ConfigError("must be at least 1", field=field)
        if self.escrow_block_s <= 0:
            raise ConfigError("must be above 0", field="escrow_block_s")
        if not 0 <= self.slash_bp <= BASIS_POINTS:
            raise ConfigError(f"is {self.slash_bp} basis points", field="slash_bp")
        for field in _NOT_NEGATIVE:
            if getattr(self, field) < 0:
                raise ConfigError("must not be negative", field=field)
        if self.min_payout < self.transfer_fee:
            remedy = f"use at least {self.transfer_fee} units, the fee of one TRANSFER"
            raise ConfigError(
                "a payout would cost more than it pays", field="min_payout", remedy=remedy
            )
        if self.payout_max_age_s < self.payout_interval_s:
            raise ConfigError("is below payout_interval_s", field="payout_max_age_s")
        if self.unbonding_s <= self.dispute_window_s + self.unbonded_wait_s:
            raise ConfigError(
                "a bond could leave before the results that it stands for are beyond dispute",
                field="unbonding_s",
                remedy="use more than dispute_window_s + unbonded_wait_s + appeal_s",
            )
        for field in ("burn_address", "treasury_address"):
            if not getattr(self, field):
                raise ConfigError("is missing", field=field)
