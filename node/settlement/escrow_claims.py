"""Claims and awards: whom a task's escrow is to pay, and what became of a dispute about it; and the
signatures under them.

Market and validators make them by the same rules.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from node.l1.errors import BadPayload
from node.l1.escrow import (
    MAX_MEMBERS,
    Act,
    Approval,
    Award,
    Claim,
    Member,
    Payee,
    check_approvals,
)
from node.settlement.dispute import Outcome
from node.split import Payees
from node.verification.acts import keys_of
from storage.merkle import merkle_root

WEIGHT_BITS = 63


def claim_of(payees: Payees, results: Sequence[bytes]) -> Claim:
    """The claim for these payees; `results` are the leaves of the task's results, in job order.

    The chain pays no more than `MAX_MEMBERS` validators: those with the most weight, of equal ones
    the first by address. Weights too large for the chain lose their last bits, all alike.
    """
    heaviest = sorted(payees.validators.items(), key=lambda one: (-one[1], one[0]))[:MAX_MEMBERS]
    return Claim(
        workers=_payees(payees.workers),
        validators=_payees(dict(heaviest)),
        orchestrator=payees.orchestrator,
        results=merkle_root(list(results)).hex(),
    )


def award_of(
    outcome: Outcome, jurors: Iterable[str], false: Iterable[str], acts: Iterable[Act]
) -> Award:
    """The award of an outcome: addresses of the jurors that computed what decides, hashes (hex) of
    the results that are false, what those signed who answer for them.

    What an outcome has nothing to do with is left out.
    """
    keys = sorted(keys_of(acts).items()) if outcome == "overturned" else ()
    return Award(
        outcome=outcome,
        jurors=() if outcome == "inconclusive" else tuple(sorted(set(jurors))),
        false=tuple(sorted(set(false))) if outcome == "overturned" else (),
        culprits=tuple(address for address, _ in keys),
        keys=tuple(key for _, key in keys),
    )


class Quorum(Protocol):
    """Whose signatures count, and how many it takes."""

    @property
    def members(self) -> Sequence[Member]:
        """The set."""

    @property
    def needed(self) -> int:
        """How many of them."""


def with_approval(
    quorum: Quorum, before: tuple[Approval, ...], approval: Approval, message: bytes
) -> tuple[Approval, ...]:
    """The signatures under a message with one more; none if it is of no use. Raises BadPayload if
    it is no member's over this."""
    if approval.public_key not in {one.public_key for one in quorum.members}:
        raise BadPayload("public_key", "is of no member of the escrow's set")
    check_approvals(message, (approval,))
    is_known = approval.public_key in {one.public_key for one in before}
    return () if is_known or len(before) >= quorum.needed else (*before, approval)


def _payees(weights: Mapping[str, int]) -> tuple[Payee, ...]:
    surplus = max(0, max(weights.values(), default=0).bit_length() - WEIGHT_BITS)
    return tuple(
        Payee(address=address, weight=weights[address] >> surplus) for address in sorted(weights)
    )
