"""What each culprit of a false result signed, which a chain re-checks before an award takes a bond.

A quorum's award says which results of a task are false, and who answers for them with which key.
By that alone nobody loses anything: for each account that is to pay there has to be its own
signature, under such a result or under a verdict that it is valid. Whoever signed neither cannot
be made a culprit, by any quorum; and whoever sends the award cannot show something else instead,
that a culprit signed with a key of no consequence.

Of a result only the signature of its worker's key is looked at, not the key binding beside it: that
one owner has key and account is what the account's BOND showed.
"""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from node.l1.devchain.profiles import Signed
from node.l1.errors import BadTransaction
from node.l1.escrow import Act, Award
from node.verification import inline
from node.verification.claims import StatementInvalid, strict_hex
from node.verification.draws import seat_of
from node.verification.jsonable import to_jsonable
from node.verification.statements import (
    ComputeResult,
    Judgement,
    Verdict,
    result_bytes,
    verdict_bytes,
)
from p2p.identity import verify


class SignedResult(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A worker's: that it computed this."""

    result: ComputeResult

    def signed(self) -> Signed:
        """Which key, about what; raises BadTransaction."""
        key, one = inline.envelope_of(self.result).worker_key, self.result
        return Signed(key.hex(), one.task_id, one.result_hash)

    def check(self, address: str, chain_id: str) -> None:
        """Raise BadTransaction unless the key in its proof signed it, for this account."""
        if self.result.worker_address != address:
            raise BadTransaction("result.worker_address: is not the culprit's")
        key = inline.envelope_of(self.result).worker_key
        try:
            signature = strict_hex(self.result.signature, "result.signature")
        except StatementInvalid as error:
            raise BadTransaction(f"{error.field}: {error.message}") from error
        if not verify(key, result_bytes(self.result, chain_id), signature):
            raise BadTransaction("result.signature: is not its worker's")


class SignedVerdict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A validator's: that a result is valid."""

    verdict: Verdict

    def signed(self) -> Signed:
        """Which key, about what."""
        one = self.verdict
        return Signed(one.validator_key.hex(), one.task_id, one.result_hash.hex())

    def check(self, _address: str, chain_id: str) -> None:
        """Raise BadTransaction unless its key signed that the result is valid."""
        one = self.verdict
        if one.finding != "valid":
            raise BadTransaction("verdict.finding: is not that the result is valid")
        if not verify(one.validator_key, verdict_bytes(one, chain_id), one.signature):
            raise BadTransaction("verdict.signature: is not its validator's")


def acts_of(judgements: Iterable[Judgement]) -> tuple[Act, ...]:
    """One act of everybody who answers for false results, by rising addresses.

    Of several acts of one account the first counts; a result comes before the verdicts on it.
    """
    found: dict[str, Act] = {}
    for address, evidence in (act for one in judgements for act in _acts_in(one)):
        found.setdefault(address, Act(address=address, evidence=to_jsonable(evidence)))
    return tuple(found[address] for address in sorted(found))


def keys_of(acts: Iterable[Act]) -> dict[str, str]:
    """By the address of each culprit the key, in hex, that its act is signed with, as an award has
    it; raises BadTransaction."""
    return {act.address: shown_by(act).signed().public_key for act in acts}


def shown_by(act: Act) -> SignedResult | SignedVerdict:
    """The evidence of an act, read strictly and not verified; raises BadTransaction."""
    if "verdict" in act.evidence:
        return inline.read_strictly(act.evidence, SignedVerdict, "evidence")
    return inline.read_strictly(act.evidence, SignedResult, "evidence")


def check_acts(acts: Sequence[Act], award: Award, chain_id: str) -> None:
    """Raise BadTransaction unless each culprit signed, with its key in the award, for a result that
    the award calls false.

    Of which task, and whether the account is bonded with that key, is for the state to say.
    """
    hashes = frozenset(award.false)
    for index, (act, key) in enumerate(zip(acts, award.keys, strict=True)):
        try:
            shown = shown_by(act)
            signed = shown.signed()
            if signed.public_key != key:
                raise BadTransaction("evidence: is by another key than the award's")
            if signed.result_hash not in hashes:
                raise BadTransaction("evidence: is about no result that the award calls false")
            shown.check(act.address, chain_id)
        except BadTransaction as error:
            raise BadTransaction(f"acts[{index}].{error.problem}") from error


def _acts_in(one: Judgement) -> Iterator[tuple[str, SignedResult | SignedVerdict]]:
    """Whoever vouched for a result, and by what."""
    yield one.result.worker_address, SignedResult(one.result)
    for verdict in one.verdicts:
        if verdict.finding == "valid":
            yield seat_of(one.draw, verdict.validator_key).address, SignedVerdict(verdict)
