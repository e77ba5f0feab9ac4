"""How many claims fit into one ESCROW_SETTLE."""

from collections.abc import Iterable, Iterator

from node.l1.escrow.forms import MAX_MEMBERS, Claim
from node.l1.escrow.gas import MAX_PAYLOAD_BYTES
from node.l1.escrow.rows import MAX_ESCROWS, MAX_PAYEES

_HEAD = 100
_SIGNATURE = 240
_ROW = 150
_SHARE = 10
_ADDRESS = 46
"""Bytes, at most, of a payload's parts in its canonical JSON, a share's but for its weight."""


def bundles(
    claims: Iterable[tuple[str, Claim]], *, signatures: int = MAX_MEMBERS
) -> Iterator[dict[str, Claim]]:
    """The claims of escrows, given by their ids, in order, as many together as fit under so many
    signatures."""
    bundle: dict[str, Claim] = {}
    payees: set[str] = set()
    room = 0
    for escrow_id, claim in claims:
        more = claim.addresses - payees
        length = _length(claim)
        is_full = len(bundle) == MAX_ESCROWS or len(payees) + len(more) > MAX_PAYEES
        if bundle and (is_full or length + _ADDRESS * len(more) > room):
            yield bundle
            bundle, payees, more = {}, set(), claim.addresses
        if not bundle:
            room = MAX_PAYLOAD_BYTES - _HEAD - _SIGNATURE * signatures
        room -= length + _ADDRESS * len(more)
        payees |= more
        bundle[escrow_id] = claim
    if bundle:
        yield bundle


def _length(claim: Claim) -> int:
    """Of its row."""
    shares = (*claim.workers, *claim.validators)
    return _ROW + sum(_SHARE + len(str(one.weight)) for one in shares)
