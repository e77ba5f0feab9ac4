"""What a transaction does to the state when the proposer tries it.

There is no transaction that is executed and fails: it is applied and in the block, or it is in no
block and costs nothing.
"""

from node.l1.devchain import held
from node.l1.devchain.slots import Slot
from node.l1.devchain.state import Account, Overlay
from node.l1.errors import BadTransaction
from node.l1.escrow import TYPES
from node.l1.transactions import Transaction, check_result


class Dropped(Exception):
    """The proposer throws the transaction away, silently."""


class TooEarly(Exception):
    """An earlier nonce is missing: the transaction waits in the pool."""


def execute(tx: Transaction, gas: int, overlay: Overlay, slot: Slot) -> int:
    """Apply a transaction that was checked at entry, and its gas found; returns the fee it pays.

    Raises:
        Dropped, TooEarly: and then nothing has changed.
    """
    sender = overlay.account(tx.from_address)
    if tx.nonce > sender.nonce:
        raise TooEarly
    fee = gas * tx.gas_price  # what is stated above that is not taken
    _check(tx, sender, fee)
    if tx.tx_type in TYPES:
        _apply_held(tx, overlay, slot)
    overlay.spend(tx.from_address, tx.amount + fee)
    if tx.tx_type == "TRANSFER":
        overlay.credit(tx.to_address or "", tx.amount)
    return fee


def _apply_held(tx: Transaction, overlay: Overlay, slot: Slot) -> None:
    try:
        held.apply(tx, overlay, slot)
    except BadTransaction as error:
        raise Dropped(str(error)) from error


def _check(tx: Transaction, sender: Account, fee: int) -> None:
    if tx.nonce < sender.nonce:
        raise Dropped("nonce too low")
    if tx.amount < 0 or sender.balance < tx.amount + fee:
        raise Dropped("the amount is negative or not there")
    if tx.tx_type == "TRANSFER":
        if not tx.to_address:
            raise Dropped("a TRANSFER must have a recipient")
    elif tx.tx_type == "SUBMIT_RESULT":
        try:
            check_result(tx)
        except BadTransaction as error:
            raise Dropped(str(error)) from error
    elif tx.tx_type not in TYPES:
        raise Dropped("the development chain has no staking")
