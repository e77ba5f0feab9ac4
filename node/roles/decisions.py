"""What a validator has signed about escrows: one end of each, and one award, over restarts too.

An award and the claim that it leaves standing are about the same results. Where a result was found
false its claim is signed no more; that it was signed before keeps nobody from saying so.
"""

from collections.abc import Callable, Iterable

import msgspec

from node.roles.unclosed import KEEP_MS
from p2p.errors import RequestRefused
from storage.database import Database
from storage.store import Batch
from storage.tables import Table

REFUND = "refund"
SWEEP_MS = 86_400_000
"""Between looks for decisions to forget."""


class Decision(msgspec.Struct, frozen=True):
    """The end of an escrow."""

    ending: str
    """`refund`, or the digest of the claim."""
    at_ms: int
    market: str = ""
    """Address of the market that asked for a claim; empty in what was stored before it counted."""


class Awarded(msgspec.Struct, frozen=True):
    """What a jury came to about an escrow's task."""

    award: str
    """Its digest."""
    claim: str
    """Digest of the claim that was disputed."""
    is_overturned: bool
    at_ms: int


class DecisionBook:
    """Kept by escrow, so that no market can have another one's task decided.

    What is to be signed is durable when these return. Each raises RequestRefused for what does not
    go with something that was signed before; the same again is fine.
    """

    def __init__(self, db: Database, now_ms: Callable[[], int]) -> None:
        self._db = db
        self._now_ms = now_ms
        self._endings = Table(db, "escrow-decisions", Decision)
        self._awards = Table(db, "escrow-awards", Awarded)
        self._forget_old()

    async def settle(self, escrow_id: str, claim: str, market: str) -> None:
        """To be settled by the claim with this digest, when the market of this address likes."""
        award = self._awards.get(bytes.fromhex(escrow_id))
        if award is not None and award.is_overturned:
            raise RequestRefused("decided", "this validator has signed that the result is false")
        if award is not None and award.claim != claim:
            raise _another("end")
        await self._end(escrow_id, claim, market)

    async def settle_again(self, claims: Iterable[tuple[str, str]], market: str) -> None:
        """Escrows to be settled by the claims with these digests, as they are already, for the same
        market: with the signatures a claim can be paid before its dispute window is over."""
        for escrow_id, claim in claims:
            if not self._is_settled(escrow_id, claim, market):
                problem = f"this validator has not signed this claim of escrow {escrow_id[:64]}"
                raise RequestRefused("undecided", f"{problem} for this market")
        await self._flush()

    async def refund(self, escrow_id: str) -> None:
        """To be refunded: its task ended without a result, so that there is none to dispute."""
        if self._awards.get(bytes.fromhex(escrow_id)) is not None:
            raise RequestRefused("decided", "this validator has signed what a jury came to")
        await self._end(escrow_id, REFUND)

    async def award(self, escrow_id: str, award: str, claim: str, *, is_overturned: bool) -> None:
        """A dispute about it is decided by an award with this digest, about results by which the
        claim would be paid."""
        key = bytes.fromhex(escrow_id)
        ending, known = self._endings.get(key), self._awards.get(key)
        if ending is not None and ending.ending != claim:
            raise _another("end")
        if known is not None and (known.award, known.claim) != (award, claim):
            raise RequestRefused("decided", "this validator has signed another award")
        if known is None:
            batch = Batch()
            self._awards.put(batch, key, Awarded(award, claim, is_overturned, self._now_ms()))
            self._db.stage(batch)
        await self._flush()

    def _is_settled(self, escrow_id: str, claim: str, market: str) -> bool:
        """Whether that was signed, and nothing that speaks against it."""
        key = bytes.fromhex(escrow_id)
        ending, award = self._endings.get(key), self._awards.get(key)
        if ending is None or not market or (ending.ending, ending.market) != (claim, market):
            return False
        return award is None or not award.is_overturned

    async def _end(self, escrow_id: str, ending: str, market: str = "") -> None:
        key = bytes.fromhex(escrow_id)
        known = self._endings.get(key)
        if known is not None and known.ending != ending:
            raise _another("end")
        if known is None:
            batch = Batch()
            self._endings.put(batch, key, Decision(ending, self._now_ms(), market))
            self._db.stage(batch)
        await self._flush()

    async def _flush(self) -> None:
        await self._db.flushed()
        if self._swept_ms + SWEEP_MS < self._now_ms():
            self._forget_old()

    def _forget_old(self) -> None:
        self._swept_ms = self._now_ms()
        batch, limit = Batch(), self._swept_ms - KEEP_MS
        for table in (self._endings, self._awards):
            for key, one in table.items():
                if one.at_ms < limit:
                    table.delete(batch, key)
        if batch:
            self._db.stage(batch)


def _another(what: str) -> RequestRefused:
    return RequestRefused("decided", f"this validator has signed another {what} of the task")
