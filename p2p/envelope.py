"""The signed wrapper of every gossip message.

    version u8 │ signer's key 32 │ issued u64 │ expires u64 │ nonce 16 │ body … │ signature 64

Times are milliseconds since 1970; integers are big-endian. The signature covers
`tagged("tmnode/envelope", 1, chain id, topic, key, issued, expires, nonce, body)`, so an envelope
is good for one chain and one topic only. `open_envelope` looks at size, layout and times, then at
the signature; the body is handed out undecoded. That it is new is `seen.ReplayCache`'s affair.
"""

import hashlib
import os
import struct
from typing import NamedTuple

from p2p.encoding import tagged, text, u64
from p2p.errors import EnvelopeRefused, MessageTooLarge, Refusal
from p2p.identity import SIGNATURE_BYTES, Identity, verify

VERSION = 1
NONCE_BYTES = 16

_TAG = "tmnode/envelope"
_FINGERPRINT_BYTES = 16
_HEAD = struct.Struct(">B32sQQ16s")
OVERHEAD_BYTES = _HEAD.size + SIGNATURE_BYTES


class Opened(NamedTuple):
    """What a good envelope says."""

    signer: bytes
    issued_at_ms: int
    expires_at_ms: int
    nonce: bytes
    body: bytes


class Terms(NamedTuple):
    """What an envelope is held against."""

    chain_id: str
    max_bytes: int
    max_lifetime_ms: int
    clock_skew_ms: int


def seal(
    identity: Identity,
    terms: Terms,
    topic: str,
    body: bytes,
    *,
    now_ms: int,
    lifetime_ms: int,
    nonce: bytes | None = None,
) -> bytes:
    """The envelope of `body`, signed by `identity`. Raises MessageTooLarge over `max_bytes`."""
    if len(body) + OVERHEAD_BYTES > terms.max_bytes:
        raise MessageTooLarge(len(body) + OVERHEAD_BYTES, terms.max_bytes)
    opened = Opened(
        identity.public_key, now_ms, now_ms + lifetime_ms, nonce or os.urandom(NONCE_BYTES), body
    )
    head = _HEAD.pack(VERSION, *opened[:4])
    return head + body + identity.sign(_statement(terms.chain_id, topic, opened))


def open_envelope(data: bytes, terms: Terms, topic: str, *, now_ms: int) -> Opened:
    """The content of a good envelope. Raises EnvelopeRefused with the reason of a bad one."""
    if len(data) > terms.max_bytes:
        raise EnvelopeRefused(Refusal.SIZE)
    if len(data) < OVERHEAD_BYTES or data[0] != VERSION:
        raise EnvelopeRefused(Refusal.LAYOUT)
    _, signer, issued, expires, nonce = _HEAD.unpack_from(data)
    opened = Opened(signer, issued, expires, nonce, data[_HEAD.size : -SIGNATURE_BYTES])
    _check_times(opened, terms, now_ms)
    statement = _statement(terms.chain_id, topic, opened)
    if not verify(opened.signer, statement, data[-SIGNATURE_BYTES:]):
        raise EnvelopeRefused(Refusal.SIGNATURE)
    return opened


def fingerprint_of(opened: Opened, terms: Terms, topic: str) -> bytes:
    """16 bytes that are others if anything the signature covers is."""
    statement = _statement(terms.chain_id, topic, opened)
    return hashlib.blake2b(statement, digest_size=_FINGERPRINT_BYTES).digest()


def _statement(chain_id: str, topic: str, opened: Opened) -> bytes:
    signer, issued, expires, nonce, body = opened
    return tagged(
        _TAG, VERSION, chain_id, text(topic), signer, u64(issued), u64(expires), nonce, body
    )


def _check_times(opened: Opened, terms: Terms, now_ms: int) -> None:
    lifetime_ms = opened.expires_at_ms - opened.issued_at_ms
    if not 0 < lifetime_ms <= terms.max_lifetime_ms:
        raise EnvelopeRefused(Refusal.LIFETIME)
    if opened.issued_at_ms > now_ms + terms.clock_skew_ms:
        raise EnvelopeRefused(Refusal.EARLY)
    if opened.expires_at_ms + terms.clock_skew_ms <= now_ms:
        raise EnvelopeRefused(Refusal.EXPIRED)
