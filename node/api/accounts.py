"""API keys: made by whoever can sign with an account's key, stored only as their SHA-256.

`POST /account/challenge` gives a challenge, `POST /account/keys` takes it back signed. The node
keeps no challenge: it authenticates its own with a secret of this process, and remembers only the
ones used until they expire. The signature covers chain, address, challenge and spending limit
under a tag of its own, so that it is good for nothing else.
"""

import hmac
import secrets
from collections.abc import Callable
from hashlib import sha256

import msgspec

from node.amounts import Amount, format_cpc, parse_cpc
from node.api.addresses import checked_address
from node.api.answers import ChallengeAnswer, KeyAnswer
from node.api.key_request import key_request_digest
from node.api.params import CreateKeyParams
from node.api.spending import KeyRecord, SpendingLimits
from node.errors import InvalidInput, NotAllowed, Unavailable
from node.l1.keys import address_of, verify_digest
from storage.database import Database
from storage.store import Batch
from storage.tables import Table

CHALLENGE_S = 300
MAX_KEYS = 16
"""Keys of one address; another one retires the oldest."""
MAX_USED_CHALLENGES = 10_000

KEY_PREFIX = "tm_"
_KEY_BYTES = 32
_NONCE_BYTES = 16
_EXPIRY_BYTES = 8
_ASK_AGAIN = "ask for a new one with POST /account/challenge"


class OwnerRecord(msgspec.Struct, frozen=True):
    """The keys of an address, oldest first, by their digests."""

    keys: tuple[bytes, ...]


class Accounts:
    """The API keys of a market."""

    def __init__(self, db: Database, chain_id: str, now: Callable[[], float]) -> None:
        self._db = db
        self._chain_id = chain_id
        self._now = now
        self._keys = Table(db, "api_keys", KeyRecord)
        self._owners = Table(db, "api_key_owners", OwnerRecord)
        self._secret = secrets.token_bytes(32)
        self._used: set[bytes] = set()
        self.limits = SpendingLimits(db, self._keys)

    def find(self, token: str) -> tuple[bytes, str] | None:
        """Digest and address of a key, or None if there is no such key."""
        digest = sha256(token.encode("utf-8", "replace")).digest()
        record = self._keys.get(digest)
        return None if record is None else (digest, record.address)

    def challenge(self, address: str) -> ChallengeAnswer:
        """Something new for the owner of `address` to sign."""
        checked_address(address)
        expires_at = int(self._now()) + CHALLENGE_S
        body = expires_at.to_bytes(_EXPIRY_BYTES, "big") + secrets.token_bytes(_NONCE_BYTES)
        return ChallengeAnswer((body + self._seal(body, address)).hex(), expires_at)

    async def create_key(self, request: CreateKeyParams) -> KeyAnswer:
        """A new key for the address; returns when it is durable.

        Raises:
            InvalidInput: a field is malformed, or the challenge is not ours, expired or used.
            NotAllowed: the signature is not by the key of that address.
        """
        checked_address(request.address)
        limit = request.spend_limit
        most = None if limit is None else parse_cpc(limit, field="spend_limit")
        challenge = self._check_challenge(request.challenge, request.address)
        self._check_signature(request)
        self._use(challenge)
        token = KEY_PREFIX + secrets.token_urlsafe(_KEY_BYTES)
        await self._db.commit(self._stored(token, request.address, most))
        return KeyAnswer(token, request.address, None if most is None else format_cpc(most))

    def _seal(self, body: bytes, address: str) -> bytes:
        return hmac.digest(self._secret, body + address.encode(), "sha256")[:_NONCE_BYTES]

    def _check_challenge(self, challenge: str, address: str) -> bytes:
        raw = _unhex(challenge, "challenge", _EXPIRY_BYTES + 2 * _NONCE_BYTES)
        body, seal = raw[:-_NONCE_BYTES], raw[-_NONCE_BYTES:]
        if not hmac.compare_digest(seal, self._seal(body, address)):
            raise InvalidInput(
                "was not given by this node to this address", field="challenge", remedy=_ASK_AGAIN
            )
        if self._now() >= _expiry(raw):
            raise InvalidInput("has expired", field="challenge", remedy=_ASK_AGAIN)
        if raw in self._used:
            raise InvalidInput("was used already", field="challenge", remedy=_ASK_AGAIN)
        return raw

    def _check_signature(self, request: CreateKeyParams) -> None:
        public_key = _unhex(request.public_key, "public_key", 33)
        signature = _unhex(request.signature, "signature", 64)
        digest = key_request_digest(
            self._chain_id, request.address, request.challenge, request.spend_limit
        )
        if address_of(public_key) != request.address:
            raise NotAllowed(
                "is not the key of this address", field="public_key", remedy="check the address"
            )
        if not verify_digest(public_key, digest, signature):
            raise NotAllowed(
                "is not by this key over this request",
                field="signature",
                remedy=f"sign chain {self._chain_id!r}, address, challenge and limit as they are",
            )

    def _use(self, challenge: bytes) -> None:
        if len(self._used) >= MAX_USED_CHALLENGES:
            now = self._now()
            self._used = {used for used in self._used if _expiry(used) > now}
        if len(self._used) >= MAX_USED_CHALLENGES:
            raise Unavailable("too many keys are being made", remedy="try again in some minutes")
        self._used.add(challenge)

    def _stored(self, token: str, address: str, limit: Amount | None) -> Batch:
        digest = sha256(token.encode()).digest()
        owner = self._owners.get(address.encode())
        keys = (*(owner.keys if owner is not None else ()), digest)
        batch = Batch()
        for retired in keys[:-MAX_KEYS]:
            self._keys.delete(batch, retired)
        self._owners.put(batch, address.encode(), OwnerRecord(keys[-MAX_KEYS:]))
        record = KeyRecord(address, limit, Amount(0), int(self._now()))
        self._keys.put(batch, digest, record)
        return batch


def _expiry(challenge: bytes) -> int:
    return int.from_bytes(challenge[:_EXPIRY_BYTES], "big")


def _unhex(value: str, field: str, length: int) -> bytes:
    try:
        raw = bytes.fromhex(value.removeprefix("0x"))
    except ValueError:
        raw = b""
    if len(raw) != length:
        raise InvalidInput(f"is not {2 * length} hex digits", field=field, remedy=_FORM[field])
    return raw


_FORM = {
    "challenge": "send it back as it was given",
    "public_key": "send the compressed key, 33 bytes in hex",
    "signature": "send r ‖ s, 64 bytes in hex",
}
