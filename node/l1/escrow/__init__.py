"""Money that a chain of the `market` profile holds: the transactions that move it, as typed forms.

A customer's deposit at a market, the escrow of a task and a dispute about it, the bond of a
validator or worker. All amounts are units of 10^-18 CPC, in payloads decimal text.
`docs/devchain.md` has the rules.

`forms`    what the payloads are; `rows` those about many escrows, `payloads` any of them.
`reading`  a payload read strictly, with `checks` and `row_checks`: what is wrong is named by its
           field (`places`).
`claims`   the bytes that validators sign, and their signatures.
`bonded`   what a bond becomes by what happens to it.
`bundling` how many claims fit into one transaction.
`gas`      what each transaction costs.
`drafts`   builders.
`payout`   whom a settlement pays, and how much.
`views`    what the chain shows over HTTP, and its parameters.
"""

from node.l1.escrow.bonded import Bond, Leaving
from node.l1.escrow.bundling import bundles
from node.l1.escrow.claims import (
    award_bytes,
    award_digest,
    award_message,
    check_approvals,
    claim_bytes,
    claim_digest,
    claims_message,
    escrow_id_of,
    refund_message,
    settling_message,
    sign_award,
    sign_claim,
    sign_claims,
    sign_refund,
    sign_settling,
)
from node.l1.escrow.drafts import (
    appeal_escrow,
    bond,
    deposit,
    open_escrow,
    open_escrows,
    refund_escrow,
    rule_escrow,
    settle_escrow,
    settle_escrows,
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
    OpeningTerms,
    Payee,
    Refund,
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
from node.l1.escrow.payloads import Payload
from node.l1.escrow.payout import award_payout, payout
from node.l1.escrow.reading import check_award, read
from node.l1.escrow.rows import MAX_ESCROWS, Openings, Settlement
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
    "MAX_ESCROWS",
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
    "OpeningTerms",
    "Openings",
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
    "bundles",
    "check_approvals",
    "check_award",
    "claim_bytes",
    "claim_digest",
    "claims_message",
    "deposit",
    "escrow_id_of",
    "gas_of",
    "open_escrow",
    "open_escrows",
    "payout",
    "read",
    "refund_escrow",
    "refund_message",
    "rule_escrow",
    "settle_escrow",
    "settle_escrows",
    "settling_message",
    "sign_award",
    "sign_claim",
    "sign_claims",
    "sign_refund",
    "sign_settling",
    "slash",
    "unbond",
    "withdraw_all",
    "withdraw_for",
]
