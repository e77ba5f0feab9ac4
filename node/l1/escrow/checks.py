"""What the types of a payload's fields do not say; each check raises BadPayload by the field."""

from collections.abc import Collection, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

from node.amounts import MAX_AMOUNT
from node.l1.errors import BadAddress, BadPayload
from node.l1.escrow.forms import Approvals
from node.l1.keys import check_address


def check_accounts(field: str, addresses: Sequence[str]) -> None:
    """A list of accounts, each of them once."""
    for index, address in enumerate(addresses):
        check_account(f"{field}[{index}]", address)
    check_rising(field, addresses)


def check_place(field: str, place: int, name: str, of: Sequence[str]) -> None:
    """A place in another list of the payload, which is called `name`."""
    if place >= len(of):
        raise BadPayload(field, f"is {place}, and {name} has {len(of)}")


def check_used(field: str, used: Collection[int], of: Sequence[str], what: str) -> None:
    """Nothing stands in a list for nothing, so that there is one form of everything."""
    unused = min(set(range(len(of))).difference(used), default=None)
    if unused is not None:
        raise BadPayload(f"{field}[{unused}]", f"is not that {what}")


def check_rising(field: str, keys: Sequence[Any]) -> None:
    """Sorted and distinct, so that there is one form of everything."""
    if any(one >= other for one, other in pairwise(keys)):
        raise BadPayload(field, "are not in strictly rising order")


def check_amount(field: str, units: int, *, least: int = 1) -> None:
    """Units that an amount can have."""
    if not least <= units <= MAX_AMOUNT:
        raise BadPayload(field, f"is not {least} to {MAX_AMOUNT} units")


def check_account(field: str, text: str) -> None:
    """The address of an account."""
    try:
        _checked(text)
    except BadAddress as error:
        raise BadPayload(field, str(error)) from error


def check_signers(signatures: Approvals) -> None:
    """One signature of each key, in order."""
    check_rising("signatures", [one.public_key for one in signatures])


_checked = lru_cache(maxsize=4096)(check_address)
"""A checksum costs more than all the rest, and addresses come again and again."""
