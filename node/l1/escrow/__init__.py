"""Money that a chain of the `market` profile holds: the transactions that move it, as typed forms.

A customer's deposit at a market, the escrow of a task and a dispute about it, the bond of a
validator or worker. All
amounts are units of 10^-18 CPC, in payloads decimal text. `docs/devchain.md` has the rules.

`forms`    what the payloads are.
`reading`  a payload read strictly: what is wrong is named by its field.
`claims`   the bytes that validators sign, and their signatures.
`bonded`   what a bond becomes by what happens to it.
`gas`      what each transaction costs.
`drafts`   builders.
`payout`   whom a settlement pays, and how much.
`views`    what the chain shows over HTTP, and its parameters.
"""

from node.l1.escrow.bonded import Bond, Leaving
from node.l1.escrow.claims import (
    award_bytes,
    award_digest,
    award_message,
    check_approvals,
    claim_bytes,
    claim_digest,
    claim_message,
    escrow_id_of,
    refund_message,
    sign_award,
    sign_claim,
    sign_refund,
)
from node.l1.escrow.drafts import (
    appeal_escrow,
    bond,
    deposit,
    open_escrow,
    refund_escrow,
    rule_escrow,
    settle_escrow,
    slash,
    unbond,
    withdraw_all,
    withdraw_for,
)
from node.l1.escrow.forms import (
    MAX_MEMBERS,
    MAX_WORKERS,
    Act,
    Appealing,
    Approval,
    Award,
    Awarding,
    Bonding,
    Claim,
    CustomerWithdrawal,
    Depositing,
    MarketWithdrawal,
    Member,
    Opening,
    Payee,
    Payload,
    Refund,
    Settlement,
    ShareTerms,
    Slashing,
    Unbonding,
)
from node.l1.escrow.gas import (
    BASE_GAS,
    GAS_PER_BYTE,
    GAS_PER_SIGNATURE,
    MAX_PAYLOAD_BYTES,
    TYPES,
    gas_of,
)
from node.l1.escrow.payout import award_payout, payout
from node.l1.escrow.reading import check_award, check_claim, check_opening, read
from node.l1.escrow.views import (
    AppealView,
    BondView,
    DepositView,
    EscrowView,
    MarketParameters,
    MarketView,
    Unbonded,
)

__all__ = [
    "BASE_GAS",
    "GAS_PER_BYTE",
    "GAS_PER_SIGNATURE",
    "MAX_MEMBERS",
    "MAX_PAYLOAD_BYTES",
    "MAX_WORKERS",
    "TYPES",
    "Act",
    "AppealView",
    "Appealing",
    "Approval",
    "Award",
    "Awarding",
    "Bond",
    "BondView",
    "Bonding",
    "Claim",
    "CustomerWithdrawal",
    "DepositView",
    "Depositing",
    "EscrowView",
    "Leaving",
    "MarketParameters",
    "MarketView",
    "MarketWithdrawal",
    "Member",
    "Opening",
    "Payee",
    "Payload",
    "Refund",
    "Settlement",
    "ShareTerms",
    "Slashing",
    "Unbonded",
    "Unbonding",
    "appeal_escrow",
    "award_bytes",
    "award_digest",
    "award_message",
    "award_payout",
    "bond",
    "check_approvals",
    "check_award",
    "check_claim",
    "check_opening",
    "claim_bytes",
    "claim_digest",
    "claim_message",
    "deposit",
    "escrow_id_of",
    "gas_of",
    "open_escrow",
    "payout",
    "read",
    "refund_escrow",
    "refund_message",
    "rule_escrow",
    "settle_escrow",
    "sign_award",
    "sign_claim",
    "sign_refund",
    "slash",
    "unbond",
    "withdraw_all",
    "withdraw_for",
]
