"""Everything that can go wrong between peers.

P2PError
├── MalformedMessage        bytes that are no message of ours
├── MessageTooLarge         a message over the bound of its type or channel
├── BadPeerId               text that is no Ed25519 peer id
├── BadAddress              text that is no address we can dial or listen on
├── CannotListen            the address cannot be bound
│   └── AddressInUse        because somebody else listens there
├── EnvelopeRefused         gossip that is forged, stale, replayed or too frequent
├── BrokenFraming           a stream whose bytes follow no framing of ours
├── PeerUnreachable         no connection, or it died before the answer
├── RequestTimeout          no answer in time
├── RequestRefused          the peer answered with a refusal
└── TransferFailed          a bulk body that must not be used
    ├── TransferTooLarge    announced larger than the caller allows
    └── DigestMismatch      its bytes are not those that were announced
"""

from enum import StrEnum


class P2PError(Exception):
    """The base of every error of this package."""


class MalformedMessage(P2PError):
    """The bytes are no message: unknown type or version, over its bound, or not decodable."""


class MessageTooLarge(P2PError):
    """The message has `size` bytes where `limit` are allowed."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"message of {size} bytes, {limit} allowed")
        self.size = size
        self.limit = limit


class BadPeerId(P2PError):
    """The text is not the peer id of an Ed25519 key."""


class BadAddress(P2PError):
    """The address cannot be used, for the reason given."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(f"{address}: {reason}")
        self.address = address
        self.reason = reason


class CannotListen(P2PError):
    """The address cannot be bound, for the reason given."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(f"cannot listen on {address}: {reason}")
        self.address = address


class AddressInUse(CannotListen):
    """Another process listens on the address."""

    def __init__(self, address: str) -> None:
        super().__init__(address, "the address is in use")


class Refusal(StrEnum):
    """Why gossip was not let in."""

    SIZE = "size"
    LAYOUT = "layout"
    LIFETIME = "lifetime"
    EXPIRED = "expired"
    EARLY = "early"
    SIGNATURE = "signature"
    ORIGIN = "origin"
    REFUSED = "refused"
    REPLAY = "replay"
    EQUIVOCATION = "equivocation"
    STALE = "stale"
    RATE = "rate"
    MESSAGE = "message"


class EnvelopeRefused(P2PError):
    """The envelope was not let in, for `reason`."""

    def __init__(self, reason: Refusal) -> None:
        super().__init__(reason.value)
        self.reason = reason


class BrokenFraming(P2PError):
    """The peer's bytes follow no framing of ours: the stream has to be given up."""


class PeerUnreachable(P2PError):
    """There is no connection to the peer, or it was lost before the answer came."""

    def __init__(self, peer_id: str, reason: str) -> None:
        super().__init__(f"{peer_id}: {reason}")
        self.peer_id = peer_id
        self.reason = reason


class RequestTimeout(P2PError):
    """The peer did not answer within `timeout_s` seconds."""

    def __init__(self, peer_id: str, timeout_s: float) -> None:
        super().__init__(f"{peer_id}: no answer in {timeout_s} s")
        self.peer_id = peer_id
        self.timeout_s = timeout_s


class RequestRefused(P2PError):
    """The peer refused with a short machine-readable `code` and a `text` for people.

    Handlers raise it to refuse. Codes of this package: `unknown` (nobody serves that),
    `malformed`, `busy` (too many requests of this peer are being served), `timeout` (the handler
    took too long) and `internal` (the handler failed).
    """

    def __init__(self, code: str, text: str = "") -> None:
        super().__init__(f"{code}: {text}" if text else code)
        self.code = code
        self.text = text


class TransferFailed(P2PError):
    """The body of a bulk transfer did not arrive as announced."""


class TransferTooLarge(TransferFailed):
    """The body has `size` bytes where the caller allows `limit`; none of it was read."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"body of {size} bytes, {limit} allowed")
        self.size = size
        self.limit = limit


class DigestMismatch(TransferFailed):
    """The body's SHA-256 is not the announced one."""
