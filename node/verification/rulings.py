"""A juror's ruling: what the task gives, computed again, and how rulings decide an appeal.

Every kernel gives the same bits on every device, so that a ruling is no opinion: it says which
result hash each job has, and equality decides. As many jurors as the network's quorum needs must
have computed the same; a juror that has not computed can neither uphold nor overturn by itself.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import msgspec

from node.verification.claims import DIGEST_BYTES, Count, StatementInvalid
from node.verification.juries import Jury, case_digest
from p2p.encoding import tagged, text, u64
from p2p.identity import Identity, verify

Outcome = Literal["upheld", "overturned", "inconclusive"]


class Ruling(msgspec.Struct, frozen=True):
    """What one juror computed."""

    task_id: str
    epoch: Count
    case: bytes
    """Digest of the case that it was asked about."""
    hashes: tuple[bytes, ...]
    """The result hash of each job, 32 bytes each."""
    validator_key: bytes
    signature: bytes = b""


class Decision(msgspec.Struct, frozen=True):
    """What the rulings of a jury come to."""

    outcome: Outcome
    wrong: tuple[int, ...] = ()
    """Indices of the jobs whose results are false."""
    agreeing: tuple[bytes, ...] = ()
    """Keys of the jurors that computed what decides: those who are paid."""


def ruling_bytes(ruling: Ruling, chain_id: str) -> bytes:
    """What a juror signs."""
    about = (text(ruling.task_id), u64(ruling.epoch), ruling.case, ruling.validator_key)
    return tagged("tmnode/ruling", 2, chain_id, *about, u64(len(ruling.hashes)), *ruling.hashes)


def sign_ruling(ruling: Ruling, chain_id: str, juror: Identity) -> Ruling:
    """The ruling with its juror's signature."""
    unsigned = msgspec.structs.replace(ruling, validator_key=juror.public_key)
    signature = juror.sign(ruling_bytes(unsigned, chain_id))
    return msgspec.structs.replace(unsigned, signature=signature)


def check_ruling(ruling: Ruling, jury: Jury, chain_id: str) -> None:
    """Raise StatementInvalid unless a juror of this jury signed a whole ruling in it."""
    if ruling.validator_key not in {seat.key for seat in jury.seats}:
        raise StatementInvalid("the validator is not in this jury", field="validator_key")
    about = (ruling.task_id, ruling.epoch, ruling.case)
    if about != (jury.task_id, jury.epoch, case_digest(jury, chain_id)):
        raise StatementInvalid("the ruling is about another case", field="ruling")
    lengths = {len(one) for one in ruling.hashes}
    if len(ruling.hashes) != len(jury.jobs) or lengths != {DIGEST_BYTES}:
        raise StatementInvalid("a ruling has one hash for each job", field="ruling.hashes")
    if not verify(ruling.validator_key, ruling_bytes(ruling, chain_id), ruling.signature):
        raise StatementInvalid("the validator did not sign this ruling", field="ruling.signature")


def decide_appeal(
    rulings: Sequence[Ruling], claimed: Sequence[bytes], *, seats: int, needed: int
) -> Decision | None:
    """What a jury of `seats` came to; None while `needed` equal rulings can still come.

    `claimed` are the hashes of the disputed results, job by job. Of several rulings of one juror
    the last counts.
    """
    by_juror = {one.validator_key: one.hashes for one in rulings}
    counts = Counter(by_juror.values())
    found, votes = max(counts.items(), key=lambda one: one[1], default=((), 0))
    if votes < needed:
        can_still = votes + seats - len(by_juror) >= needed
        return None if can_still else Decision("inconclusive")
    agreeing = tuple(sorted(key for key, hashes in by_juror.items() if hashes == found))
    wrong = tuple(
        index for index, pair in enumerate(zip(found, claimed, strict=True)) if pair[0] != pair[1]
    )
    return Decision("overturned" if wrong else "upheld", wrong, agreeing)
