"""Transactions in confirmed blocks, as the books see them: what each says, and what it undoes."""

import logging
from collections.abc import Sequence

from node.errors import InsufficientFunds
from node.l1.errors import BadTransaction
from node.l1.escrow import Payload, read
from node.l1.escrow.gas import TYPES
from node.l1.sender import Sender
from node.l1.transactions import Transaction, tx_hash
from node.settlement.entries import Posting
from node.settlement.ledger import Ledger
from storage.store import Batch

log = logging.getLogger(__name__)


def form_of(tx: Transaction) -> Payload | None:
    """What the transaction says of money that the chain holds; None if it is about none, or if a
    chain of another profile took it."""
    if tx.tx_type not in TYPES:
        return None
    try:
        return read(tx)
    except BadTransaction as error:
        log.warning("transaction %s is not of its form: %s", tx_hash(tx), error)
        return None


def name_of_tx(tx: Transaction) -> str:
    """The chain's hash does not fix where one number ends and the next begins, the nonce does."""
    return f"{tx_hash(tx)}:{tx.nonce}"


def post_taken(
    ledger: Ledger, batch: Batch, cause: str, kind: str, postings: Sequence[Posting], at_ms: int
) -> bool:
    """Book what the chain took from a customer; False if the books do not have it: they are not a
    copy of the chain any more, which an audit shows."""
    try:
        return ledger.post(batch, cause=cause, kind=kind, postings=postings, at_ms=at_ms)
    except InsufficientFunds:
        log.exception("the chain took what the books do not have: %s", cause)
        return False


def give_way(sender: Sender, batch: Batch, cause: str, tx: Transaction, problem: str) -> bool:
    """Give up a transaction of the market's for which another one came first; False if it is the
    same one."""
    ours = sender.find(cause)
    if ours is None or ours.tx_hash == tx_hash(tx):
        return False
    sender.give_up(batch, cause, problem)
    return True
