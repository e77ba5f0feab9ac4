"""The claims of escrows whose pay is due, as many in one transaction as a quorum signs together.

Each claim is signed by itself before, see `escrow_rewards`, when its validators have looked at all
that speaks for it. When the pay is due they sign it once more, together with others, as one
statement: that costs them a look at what they decided, and the chain one quorum for all. A claim
that is alone, or that no quorum signed together with others in time, or whose transaction was lost,
goes by itself with the signatures that it has. So nobody who signs no more keeps pay back.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import msgspec

from node.l1.escrow import (
    MAX_ESCROWS,
    Approval,
    Claim,
    Member,
    bundles,
    claim_digest,
    settle_escrows,
    settling_message,
)
from node.l1.sender import Sender
from node.settlement.escrow_claims import with_approval
from node.settlement.escrows import EscrowBook, EscrowRecord
from node.settlement.late import ms
from node.settlement.parameters import SettlementParameters
from storage.store import Batch

TOGETHER_S = 20.0
"""For a quorum to sign claims together, before each goes by itself."""


class Bundle:
    """Claims that are to be signed together, by their escrows; kept in memory only, since whoever
    signs them says nothing new."""

    def __init__(
        self, claims: Mapping[str, Claim], members: Sequence[Member], needed: int, since_ms: int
    ) -> None:
        self.claims = claims
        self.members = members
        self.needed = needed
        self.since_ms = since_ms
        self.approvals: tuple[Approval, ...] = ()

    @cached_property
    def pairs(self) -> Sequence[tuple[str, str]]:
        """Escrows with the digests of their claims, as they are signed."""
        return sorted((name, claim_digest(claim)) for name, claim in self.claims.items())

    @property
    def is_approved(self) -> bool:
        """Whether enough members have signed."""
        return len(self.approvals) >= self.needed


class EscrowClosings:
    """Of one market; the sender has to be ready."""

    def __init__(
        self, parameters: SettlementParameters, sender: Sender, *, book: EscrowBook, chain_id: str
    ) -> None:
        self._parameters = parameters
        self._sender = sender
        self._book = book
        self._chain_id = chain_id
        self._bundles: list[Bundle] = []

    def step(self, batch: Batch, at_ms: int) -> None:
        """Send what goes by itself, and have the rest signed."""
        alone = self._dissolve(at_ms)
        bundled = {escrow_id for bundle in self._bundles for escrow_id in bundle.claims}
        sets = defaultdict(list)
        for record in self._book.at("due"):
            if record.tries or record.escrow_id in alone:
                self._send(batch, (record,), record.approvals)
            elif record.escrow_id not in bundled:
                sets[record.members, record.needed].append(record)
        for records in sets.values():
            oldest_ms = min(record.since_ms for record in records)
            is_time = oldest_ms + self._wait_ms <= at_ms
            if is_time or len(records) >= MAX_ESCROWS:
                self._bundle(batch, records, at_ms, is_time=is_time)

    def unsigned(self) -> Iterator[Bundle]:
        """What is to be signed together."""
        return iter(list(self._bundles))

    def approve(self, batch: Batch, bundle: Bundle, approval: Approval) -> bool:
        """Keep a member's signature under a bundle, and send it when there are enough; False if it
        is of no use.

        Raises BadPayload if it is not this member's over this.
        """
        message = settling_message(self._chain_id, bundle.pairs)
        more = with_approval(bundle, bundle.approvals, approval, message)
        if not more or bundle not in self._bundles:
            return False
        bundle.approvals = more
        if bundle.is_approved:
            self._close(batch, bundle)
        return True

    @property
    def _wait_ms(self) -> int:
        return ms(self._parameters.escrow_batch_s)

    def _bundle(
        self, batch: Batch, records: Sequence[EscrowRecord], at_ms: int, *, is_time: bool
    ) -> None:
        """Bundle claims; before their time only as many as fill transactions."""
        by_id = {record.escrow_id: record for record in records}
        pairs = ((record.escrow_id, _claim(record)) for record in records)
        found = list(bundles(pairs, signatures=records[0].needed))
        if not is_time and len(found[-1]) < MAX_ESCROWS:
            found.pop()
        for claims in found:
            first = by_id[next(iter(claims))]
            if len(claims) == 1:
                self._send(batch, (first,), first.approvals)
            else:
                self._bundles.append(Bundle(claims, first.members, first.needed, at_ms))

    def _close(self, batch: Batch, bundle: Bundle) -> None:
        """Send a bundle, if all of it is still due."""
        self._bundles.remove(bundle)
        due = self._due(bundle)
        if len(due) == len(bundle.claims):
            self._send(batch, due, bundle.approvals)

    def _dissolve(self, at_ms: int) -> set[str]:
        """Give up bundles that are not all due any more, the rest of which is to be signed anew,
        and those that no quorum signed in time: their escrows, each of which is to go alone."""
        alone = set[str]()
        for bundle in list(self._bundles):
            if len(self._due(bundle)) < len(bundle.claims):
                self._bundles.remove(bundle)
            elif bundle.since_ms + ms(TOGETHER_S) <= at_ms:
                self._bundles.remove(bundle)
                alone.update(bundle.claims)
        return alone

    def _due(self, bundle: Bundle) -> Sequence[EscrowRecord]:
        """What of a bundle is still due: others may have closed, or disputed, some of it."""
        records = [self._book.find(escrow_id) for escrow_id in bundle.claims]
        return [one for one in records if one is not None and one.stage == "due"]

    def _send(
        self, batch: Batch, records: Sequence[EscrowRecord], approvals: Sequence[Approval]
    ) -> None:
        cause = f"escrow-settle:{records[0].task_id}:{records[0].tries}"
        claims = {record.escrow_id: _claim(record) for record in records}
        draft = settle_escrows(claims, approvals, gas_price=self._parameters.gas_price)
        self._sender.stage(batch, cause, draft)
        for record in records:
            self._book.put(batch, msgspec.structs.replace(record, closing=cause))


def _claim(record: EscrowRecord) -> Claim:
    assert record.claim is not None, "an escrow that is to be settled has its claim"
    return record.claim
