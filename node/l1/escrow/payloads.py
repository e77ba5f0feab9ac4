"""The payload of any of the market's transactions."""

from node.l1.escrow.forms import (
    Appealing,
    Awarding,
    Bonding,
    CustomerWithdrawal,
    Depositing,
    MarketWithdrawal,
    Refund,
    Slashing,
    Unbonding,
)
from node.l1.escrow.rows import Openings, Settlement

Payload = (
    Depositing
    | MarketWithdrawal
    | CustomerWithdrawal
    | Openings
    | Settlement
    | Refund
    | Appealing
    | Awarding
    | Bonding
    | Unbonding
    | Slashing
)
