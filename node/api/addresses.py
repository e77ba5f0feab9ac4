"""Addresses in requests."""

from node.errors import InvalidInput
from node.l1.keys import BadAddress, check_address


def checked_address(text: str) -> str:
    """The address of an account; raises InvalidInput for one that no key can own."""
    try:
        check_address(text)
    except BadAddress as error:
        raise InvalidInput(
            f"is no address: {error.problem}", field="address", remedy="copy it whole, cpc1…"
        ) from None
    return text
