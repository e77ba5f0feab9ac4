"""What an account's key signs to get an API key: for the market that checks, and for clients."""

from hashlib import sha256

from p2p.encoding import tagged, text

KEY_REQUEST_TAG = "tmnode/api-key"


def key_request_digest(
    chain_id: str, address: str, challenge: str, spend_limit: str | None
) -> bytes:
    """The 32 bytes to sign."""
    fields = (text(address), text(challenge), text(spend_limit or ""))
    return sha256(tagged(KEY_REQUEST_TAG, 1, chain_id, *fields)).digest()
