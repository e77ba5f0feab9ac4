"""What a chain of the `market` profile holds for others, by text keys, and the root over it.

Records are spread over buckets by a hash of their key, so that a block hashes anew only what is
near its changes, however many escrows were ever closed.
"""

from collections import defaultdict
from collections.abc import Mapping
from hashlib import sha256
from sys import intern

import msgspec

from node.amounts import Amount
from node.l1.blocks import l1_merkle_root
from node.l1.escrow import Bond, Opening, OpeningTerms

BUCKETS = 256
_EMPTY = bytes(32)


class Deposit(msgspec.Struct, frozen=True, tag="deposit"):
    """A customer's at a market; it stays when it is empty."""

    units: Amount = Amount(0)
    notice: int | None = None
    """Height of the customer's notice."""

    def more(self, units: int) -> "Deposit":
        """With so many units more; a notice goes on."""
        return Deposit(Amount(self.units + units), self.notice)


class Appeal(msgspec.Struct, frozen=True):
    """What a dispute about an escrow was opened with."""

    fee: Amount
    deadline: int
    """Height of the last block in which no claim settles the escrow."""


class Terms(msgspec.Struct, frozen=True, tag="terms"):
    """What many escrows were opened under; it stays, since markets open more under the same."""

    terms: OpeningTerms

    @property
    def digest(self) -> str:
        """Hex of SHA-256: what escrows name them by."""
        return sha256(_ENCODER.encode(self)).hexdigest()


class Escrow(msgspec.Struct, frozen=True, tag="escrow"):
    """One that is open."""

    market: str
    task_id: str
    customer: str
    amount: Amount
    deadline: int
    terms: str
    """Digest of its `Terms`."""
    opened: int
    appeal: Appeal | None = None
    """Of the one dispute that there may be about it."""
    award: str | None = None
    """Digest of what that came to."""

    @property
    def undecided(self) -> Appeal | None:
        """The dispute, while it goes on."""
        return None if self.award else self.appeal

    @property
    def units(self) -> Amount:
        """All that goes back to the deposit if it is closed unpaid."""
        fee = self.undecided.fee if self.undecided else 0
        return Amount(self.amount + fee)

    def opening(self, terms: OpeningTerms) -> Opening:
        """What it is bound to, with its terms."""
        return Opening(
            task_id=self.task_id,
            customer=self.customer,
            amount=self.amount,
            deadline=self.deadline,
            **terms.named,
        )


class Closed(msgspec.Struct, frozen=True, tag="closed", gc=False):
    """What is left of an escrow, for good, so that its id is not used again.

    There are many, of few markets and customers: each address is in memory once.
    """

    market: str
    customer: str
    units: Amount
    opened: int
    closed: int
    claim: str | None
    """Digest of the claim by which it was settled; None if it was refunded."""
    award: str | None = None
    """Digest of what a dispute about it came to."""

    def __post_init__(self) -> None:
        for name in ("market", "customer"):
            msgspec.structs.force_setattr(self, name, intern(getattr(self, name)))


class Bonded(msgspec.Struct, frozen=True, order=True):
    """Whose bond it is, and at which market."""

    market: str
    address: str


class Due(msgspec.Struct, frozen=True, tag="due"):
    """Which bonds have something leaving in a block."""

    bonds: tuple[Bonded, ...]


class Act(msgspec.Struct, frozen=True, tag="act"):
    """An offence that was slashed."""

    height: int


Held = Deposit | Terms | Escrow | Closed | Bond | Due | Act


def deposit_key(market: str, customer: str) -> str:
    """Where a `Deposit` is."""
    return f"deposit/{market}/{customer}"


def terms_key(digest: str) -> str:
    """Where `Terms` are."""
    return f"terms/{digest}"


def escrow_key(escrow_id: str) -> str:
    """Where an `Escrow` is, or what is left of it."""
    return f"escrow/{escrow_id}"


def bond_key(market: str, address: str) -> str:
    """Where a `Bond` is."""
    return f"bond/{market}/{address}"


def due_key(height: int) -> str:
    """Where the `Due` of a block is."""
    return f"due/{height}"


def act_key(market: str, offender: str, act: str) -> str:
    """Where the `Act` is for which a bond paid."""
    return f"act/{market}/{offender}/{act}"


def units_of(record: Held) -> int:
    """The money in a record."""
    if isinstance(record, Deposit | Escrow):
        return record.units
    return record.total if isinstance(record, Bond) else 0


class Holdings:
    """The confirmed records, with the leaves of their root kept ready."""

    def __init__(self, records: Mapping[str, Held]) -> None:
        self.records = dict(records)
        self._leaves: list[dict[str, bytes]] = [{} for _ in range(BUCKETS)]
        self._roots = [_EMPTY] * BUCKETS
        self._replace(self.records)

    def copy(self) -> "Holdings":
        """Holdings of their own with the same content; a bucket's leaves are never changed."""
        twin = Holdings({})
        twin.records = dict(self.records)
        twin._leaves, twin._roots = list(self._leaves), list(self._roots)
        return twin

    def root(self, changes: Mapping[str, Held | None]) -> bytes | None:
        """The root as it would be with some records changed, or gone; None over no records."""
        roots = list(self._roots)
        for bucket, leaves in self._changed(changes).items():
            roots[bucket] = _bucket_root(leaves)
        return l1_merkle_root(roots) if any(root != _EMPTY for root in roots) else None

    def adopt(self, changes: Mapping[str, Held | None]) -> None:
        """Take over what a block changed."""
        for key, record in changes.items():
            if record is None:
                self.records.pop(key, None)
            else:
                self.records[key] = record
        self._replace(changes)

    def _replace(self, changes: Mapping[str, Held | None]) -> None:
        for bucket, leaves in self._changed(changes).items():
            self._leaves[bucket] = leaves
            self._roots[bucket] = _bucket_root(leaves)

    def _changed(self, changes: Mapping[str, Held | None]) -> dict[int, dict[str, bytes]]:
        """The leaves of the buckets in which there are changes."""
        fresh: defaultdict[int, dict[str, bytes | None]] = defaultdict(dict)
        for key, record in changes.items():
            leaf = None if record is None else _leaf(key, record)
            fresh[sha256(key.encode()).digest()[0]][key] = leaf
        found = {}
        for bucket, leaves in fresh.items():
            merged = {**self._leaves[bucket], **leaves}
            found[bucket] = {key: leaf for key, leaf in merged.items() if leaf is not None}
        return found


def _bucket_root(leaves: Mapping[str, bytes]) -> bytes:
    return l1_merkle_root([leaves[key] for key in sorted(leaves)]) if leaves else _EMPTY


def _leaf(key: str, record: Held) -> bytes:
    return sha256(f"held:{key}:".encode() + _ENCODER.encode(record)).digest()


_ENCODER = msgspec.json.Encoder(enc_hook=Amount.to_wire)
