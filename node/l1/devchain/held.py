"""The transactions about held money, as one: which rule each form goes by."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from node.l1.devchain import bonds, deposits, disputes, escrows
from node.l1.devchain.slots import Slot
from node.l1.devchain.state import Overlay
from node.l1.escrow import (
    Appealing,
    Awarding,
    Bonding,
    CustomerWithdrawal,
    Depositing,
    MarketWithdrawal,
    Openings,
    Refund,
    Settlement,
    Slashing,
    Unbonding,
    read,
)
from node.l1.transactions import Transaction

_RULES: Mapping[type, Callable[[Any, Transaction, Overlay, Slot], None]] = MappingProxyType(
    {
        Depositing: deposits.deposit,
        MarketWithdrawal: deposits.withdraw_for,
        CustomerWithdrawal: deposits.withdraw_all,
        Openings: escrows.open_escrows,
        Settlement: escrows.settle,
        Refund: escrows.refund,
        Appealing: disputes.appeal,
        Awarding: disputes.rule,
        Bonding: bonds.bond,
        Unbonding: bonds.unbond,
        Slashing: bonds.slash,
    }
)


def apply(tx: Transaction, overlay: Overlay, slot: Slot) -> None:
    """Do what a transaction says, but for amount, fee and nonce of its sender.

    Raises BadTransaction, and then nothing has changed.
    """
    form = read(tx)
    _RULES[type(form)](form, tx, overlay, slot)
