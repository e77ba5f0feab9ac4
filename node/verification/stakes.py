"""What those who answer for a false result had at stake: the market's signed word, in the receipt.

Bonds are accounts of the market's ledger, which nobody else keeps. So that anybody can work out
what an overturned result took from whom, the market says, together with the ruling, what each of
them had bonded and unbonding when it fell.
"""

from collections.abc import Iterable

import msgspec

from node.amounts import Amount
from node.verification.claims import StatementInvalid
from node.verification.draws import Draw, Seat
from node.verification.juries import Jury, case_digest
from node.verification.statements import ComputeResult, Verdict, found_valid
from p2p.encoding import tagged, text
from p2p.identity import Identity, verify


class Stake(msgspec.Struct, frozen=True):
    """Of one address, in units of 10^-18 CPC."""

    address: str
    bonded: Amount
    unbonding: Amount


class Stakes(msgspec.Struct, frozen=True):
    """Of all who answer for what a jury overturned, before they were slashed."""

    case: bytes
    """Digest of what the jury ruled about, which names the task."""
    stakes: tuple[Stake, ...]
    """By rising addresses."""
    market_key: bytes
    signature: bytes = b""


def culprits(
    false: Iterable[tuple[Draw, ComputeResult, Iterable[Verdict]]],
) -> tuple[set[str], set[Seat]]:
    """Addresses of the workers of false results, and who signed that they are valid."""
    workers: set[str] = set()
    liars: set[Seat] = set()
    for draw, result, verdicts in false:
        workers.add(result.worker_address)
        liars.update(found_valid(draw, verdicts))
    return workers, liars


def stakes_bytes(stakes: Stakes, chain_id: str) -> bytes:
    """What the market signs."""
    each = [
        text(part)
        for one in stakes.stakes
        for part in (one.address, one.bonded.to_wire(), one.unbonding.to_wire())
    ]
    return tagged("tmnode/stakes", 1, chain_id, stakes.case, stakes.market_key, *each)


def sign_stakes(jury: Jury, stakes: Iterable[Stake], chain_id: str, market: Identity) -> Stakes:
    """The stakes with the market's signature."""
    ranked = tuple(sorted(stakes, key=lambda one: one.address))
    unsigned = Stakes(case_digest(jury, chain_id), ranked, market.public_key)
    signature = market.sign(stakes_bytes(unsigned, chain_id))
    return msgspec.structs.replace(unsigned, signature=signature)


def check_stakes(stakes: Stakes, jury: Jury, answer: Iterable[str], chain_id: str) -> None:
    """Raise StatementInvalid unless the jury's market signed the stakes of exactly these addresses.

    That the amounts are true is the market's word.
    """
    if stakes.market_key != jury.market_key or stakes.case != case_digest(jury, chain_id):
        raise StatementInvalid("the stakes are of another case", field="appeal.stakes")
    if not verify(stakes.market_key, stakes_bytes(stakes, chain_id), stakes.signature):
        raise StatementInvalid("the market did not sign the stakes", field="appeal.stakes")
    if [one.address for one in stakes.stakes] != sorted(set(answer)):
        raise StatementInvalid("are not of all who answer for it", field="appeal.stakes")
    if any(min(one.bonded, one.unbonding) < 0 for one in stakes.stakes):
        raise StatementInvalid("nobody can have less than nothing", field="appeal.stakes")
