"""What the ledger consists of: postings, entries, and the bytes by which an entry is known."""

from collections.abc import Sequence
from hashlib import sha256

import msgspec

from node.amounts import MAX_AMOUNT, Amount
from node.settlement.accounts import is_account
from node.settlement.errors import MalformedEntry
from p2p.encoding import tagged, text, u64

ENTRY_TAG = "tmnode/ledger-entry"
FEE_TAKEN = "fee"
"""Kind of the entry for what the chain has taken for a transaction that is no payment: the one that
`fees` may owe."""
ON_CREDIT = "reserve"
"""Kind of the entry by which a customer may come to owe: buying a task, and nothing else."""
MAX_CAUSE = 200
"""Characters of a cause or a kind, printable ASCII."""


class Posting(msgspec.Struct, frozen=True):
    """What one account gains (or, negative, gives), in units."""

    account: str
    amount: Amount


class Entry(msgspec.Struct, frozen=True):
    """One movement of money; never changed once written."""

    cause: str
    kind: str
    at_ms: int
    sequence: int
    postings: tuple[Posting, ...]

    def amount(self, account: str) -> int:
        """Units this entry gives the account: 0 if it does not touch it."""
        return sum(posting.amount for posting in self.postings if posting.account == account)


def posting(account: str, amount: int) -> Posting:
    """A posting of `amount` units."""
    return Posting(account, Amount(amount))


def move(source: str, target: str, amount: int) -> tuple[Posting, Posting]:
    """The postings that take `amount` units from one account to another."""
    return posting(source, -amount), posting(target, amount)


def name_of(address: str, key: str) -> str:
    """Hex by which a cause names what an address asked for under a key of its own, so that the same
    again is the same."""
    return sha256(f"{address}:{key}".encode()).hexdigest()


def digest(chain_id: str, entry: Entry) -> bytes:
    """SHA-256 of the entry's canonical bytes, the leaf of a payout's Merkle tree.

    Fields: cause, kind, u64 at_ms, u64 sequence, then account and decimal amount of each posting.
    """
    postings = [
        field for p in entry.postings for field in (text(p.account), text(p.amount.to_wire()))
    ]
    head = text(entry.cause), text(entry.kind), u64(entry.at_ms), u64(entry.sequence)
    return sha256(tagged(ENTRY_TAG, 1, chain_id, *head, *postings)).digest()


def index_key(account: str, sequence: int) -> bytes:
    """The key of an account's index; names have no NUL, so no account's keys start another's."""
    return account.encode() + b"\x00" + u64(sequence)


def check_entry(cause: str, kind: str, postings: Sequence[Posting]) -> None:
    """Raise MalformedEntry for what no entry may be."""
    for name in (cause, kind):
        if not 0 < len(name) <= MAX_CAUSE or not name.isascii() or not name.isprintable():
            raise MalformedEntry(f"not a cause or kind of an entry: {name[:80]!r}")
    names = [p.account for p in postings]
    unknown = [name for name in names if not is_account(name)]
    if unknown or len(set(names)) != len(names):
        raise MalformedEntry(f"{cause}: unknown or repeated accounts {(unknown or names)[:5]}")
    amounts = [p.amount for p in postings]
    if 0 in amounts or any(abs(amount) > MAX_AMOUNT for amount in amounts):
        raise MalformedEntry(f"{cause}: a posting of nothing, or of more than can exist")
    total = sum(amounts)
    if total or not postings:
        raise MalformedEntry(f"{cause}: postings sum to {total}, not to zero")
