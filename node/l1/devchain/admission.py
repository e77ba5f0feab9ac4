"""Whose a transaction is: its address from its key, its signature over its digest."""

from functools import lru_cache

from node.l1.keys import address_of, node_accepts_signature
from node.l1.transactions import Transaction

KEPT_BYTES = 256  # of a key and a prefix, up to which the address they make is remembered


def signature_problem(tx: Transaction, digest: bytes) -> str:
    """Why the sender is not who it says, in the existing chain's words; empty if it is."""
    if not tx.signature or not tx.pub_key:
        return "missing_sig_or_key"
    try:
        public_key = bytes.fromhex(tx.pub_key)
    except ValueError as error:
        return f"invalid_key_format: {error}"
    # The prefix is whatever stands before the first 1, so a key owns an account under each.
    prefix = tx.from_address.partition("1")[0]
    derive = _kept_address_of if len(public_key) + len(prefix) < KEPT_BYTES else address_of
    if derive(public_key, prefix) != tx.from_address:
        return "pub_key_mismatch"
    try:
        signature = bytes.fromhex(tx.signature)
    except ValueError as error:
        return f"crypto_error: {error}"
    if not node_accepts_signature(public_key, digest, signature):
        return "invalid_signature"
    return ""


_kept_address_of = lru_cache(maxsize=4096)(address_of)
