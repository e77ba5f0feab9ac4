"""The binding of a node's two keys: each signs the other, so that one owner must hold both."""

from functools import lru_cache
from hashlib import sha256

import msgspec

from node.keys.errors import BindingInvalid
from node.l1.keys import AccountKey, address_of, verify_digest
from p2p.encoding import tagged
from p2p.identity import Identity, verify

_ACCOUNT_TAG = "tmnode/key-binding/account"
_PEER_TAG = "tmnode/key-binding/peer"
_LENGTHS = {
    "ed25519_public": 32,
    "account_public": 33,
    "ed25519_signature": 64,
    "account_signature": 64,
}


class KeyBinding(msgspec.Struct, frozen=True):
    """Two public keys and the signature of each over the other; for one chain only."""

    ed25519_public: bytes
    """32 bytes."""
    account_public: bytes
    """33 bytes, compressed secp256k1."""
    ed25519_signature: bytes
    """64 bytes, over the account's key."""
    account_signature: bytes
    """64 bytes, r‖s with low s, over SHA-256 of the statement with the Ed25519 key."""


def bind(identity: Identity, account: AccountKey, chain_id: str) -> KeyBinding:
    """Sign each key with the other."""
    return KeyBinding(
        ed25519_public=identity.public_key,
        account_public=account.public_key,
        ed25519_signature=identity.sign(_peer_says(account.public_key, chain_id)),
        account_signature=account.sign_digest(_account_says(identity.public_key, chain_id)),
    )


@lru_cache(maxsize=4096)
def verify_binding(binding: KeyBinding, chain_id: str) -> str:
    """The address of the account that is bound to the Ed25519 key; raises BindingInvalid.

    Remembered: every result carries the binding of its worker, and two curves take 0.3 ms.
    """
    for field, length in _LENGTHS.items():
        if len(getattr(binding, field)) != length:
            raise BindingInvalid(f"does not have {length} bytes", field=field)
    peer_says = _peer_says(binding.account_public, chain_id)
    if not verify(binding.ed25519_public, peer_says, binding.ed25519_signature):
        raise BindingInvalid("the peer's key did not sign the account", field="ed25519_signature")
    account_says = _account_says(binding.ed25519_public, chain_id)
    if not verify_digest(binding.account_public, account_says, binding.account_signature):
        raise BindingInvalid("the account did not sign the peer's key", field="account_signature")
    return address_of(binding.account_public)


def _peer_says(account_public: bytes, chain_id: str) -> bytes:
    return tagged(_ACCOUNT_TAG, 1, chain_id, account_public)


def _account_says(ed25519_public: bytes, chain_id: str) -> bytes:
    return sha256(tagged(_PEER_TAG, 1, chain_id, ed25519_public)).digest()
