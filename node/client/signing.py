"""Asking for an API key: the challenge signed with the account's key."""

from typing import TYPE_CHECKING, Any

from node.api.key_request import key_request_digest

if TYPE_CHECKING:  # only who signs needs the curve
    from node.l1.keys import AccountKey


def key_request(
    account: "AccountKey", chain_id: str, challenge: str, spend_limit: str | None
) -> dict[str, Any]:
    """The body of `POST /account/keys`."""
    digest = key_request_digest(chain_id, account.address, challenge, spend_limit)
    return {
        "address": account.address,
        "public_key": account.public_key.hex(),
        "challenge": challenge,
        "signature": account.sign_digest(digest).hex(),
        **({} if spend_limit is None else {"spend_limit": spend_limit}),
    }
