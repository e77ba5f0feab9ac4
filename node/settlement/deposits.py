"""Deposits: every TRANSFER to the market in a confirmed block is credited to its sender, once.

`Deposits.handle` is a handler for `node.l1.follower.Follower`: what it books is in the batch that
moves the follower's position, and each entry's cause names the transaction besides.
"""

import logging

from node.amounts import MAX_AMOUNT, format_cpc
from node.l1.blocks import Block
from node.l1.errors import BadAddress
from node.l1.keys import check_address
from node.l1.transactions import Transaction, tx_hash
from node.settlement import accounts
from node.settlement.entries import move
from node.settlement.ledger import Ledger
from storage.store import Batch

log = logging.getLogger(__name__)


class Deposits:
    """Credits what arrives at `address`, the market's own L1 account."""

    def __init__(self, ledger: Ledger, address: str) -> None:
        self._ledger = ledger
        self._address = address

    def handle(self, batch: Batch, block: Block) -> None:
        """Book a confirmed block's deposits, at the time of its slot.

        What the market sends to itself moves nothing and is not booked.
        """
        for tx in block.txs:
            if tx.tx_type == "TRANSFER" and tx.to_address == self._address != tx.from_address:
                self._credit(batch, tx, at_ms=block.header.timestamp * 1000)

    def _credit(self, batch: Batch, tx: Transaction, at_ms: int) -> None:
        if not 0 < tx.amount <= MAX_AMOUNT:
            log.warning("ignored a deposit of %d units by %s", tx.amount, tx.from_address[:100])
            return
        account = _account_of(tx.from_address)
        # The chain's hash does not fix where one number ends and the next begins, so a sender can
        # get the same hash into two blocks with other amounts; the nonce tells them apart.
        cause = f"deposit:{tx_hash(tx)}:{tx.nonce}"
        postings = move(accounts.L1, account, tx.amount)
        if self._ledger.post(batch, cause=cause, kind="deposit", postings=postings, at_ms=at_ms):
            log.info("%s CPC for %s by %s", format_cpc(tx.amount), account, tx_hash(tx))


def _account_of(sender: str) -> str:
    """The sender's account, or `unclaimed` if the sender is none that a customer here can have."""
    try:
        check_address(sender)
    except BadAddress:
        log.warning("a deposit by %s, which is no account of this network", sender[:100])
        return accounts.UNCLAIMED
    return accounts.customer(sender)
