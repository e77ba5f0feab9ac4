"""Addresses and keys in a configuration file: multiaddrs, peer ids, L1 accounts, proposers.

Like `node.config.values`: a type with a `parse` that raises InvalidInput with the remedy.
"""

import ipaddress
import re
from typing import Self

from coincurve import PublicKey

from node.config.values import refusal
from node.l1.errors import BadAddress
from node.l1.keys import check_address
from p2p.errors import BadPeerId
from p2p.identity import public_key_of

_MULTIADDR = re.compile(
    r"/(ip4|ip6|dns|dns4|dns6)/([^/]+)/tcp/([0-9]{1,5})(?:/ws)?(?:/p2p/([^/]+))?", re.ASCII
)
_HOST_NAME = re.compile(r"[0-9A-Za-z](?:[0-9A-Za-z.-]{0,251}[0-9A-Za-z])?", re.ASCII)
_LABEL = re.compile(r"cpc1[0-9a-z]{6,86}", re.ASCII)
_KEY_HEX = re.compile(r"0[23][0-9a-f]{64}", re.ASCII)


class ListenAddress(str):
    """A TCP multiaddr to listen on, without a peer id."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read a multiaddr that names no peer."""
        example = 'use the form "/ip4/127.0.0.1/tcp/4001"'
        match = _multiaddr(value)
        if match is None:
            raise refusal(value, "a TCP multiaddr", example)
        if match[4]:
            raise refusal(value, "a multiaddr to listen on", f"leave /p2p/… out; {example}")
        return cls(match[0])


class PeerAddress(str):
    """A TCP multiaddr of another node, with its peer id."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read a multiaddr that ends in the peer's id."""
        match = _multiaddr(value)
        if match is None or not _is_peer_id(match[4] or ""):
            example = 'use the form "/ip4/192.0.2.1/tcp/4001/p2p/12D3Koo…"'
            raise refusal(value, "a TCP multiaddr with a peer id", example)
        return cls(match[0])


class PeerId(str):
    """A peer id, `12D3Koo…`."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read the base58 id of an Ed25519 key."""
        if not isinstance(value, str) or not _is_peer_id(value):
            raise refusal(value, "a peer id", "use what `tmnode keys show` prints, 12D3Koo…")
        return cls(value)


class ProposerKey(str):
    """A compressed secp256k1 public key in lower-case hex."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read 66 digits that are a point of the curve."""
        if not isinstance(value, str) or not _is_point(value):
            remedy = "use the 66 lower-case hex digits of the L1 validator's pub_key"
            raise refusal(value, "a compressed secp256k1 key", remedy)
        return cls(value)


class Account(str):
    """An L1 account address, `cpc1…`, with the right checksum; empty for none."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read an address that a key can own."""
        if not isinstance(value, str) or (value and not _is_account(value)):
            raise refusal(value, "an account address", "copy the whole address, cpc1…")
        return cls(value)


class Destination(str):
    """What a TRANSFER may be sent to: an account address, or a label that no key can own."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read any text that the L1 credits and that looks like an address."""
        if not isinstance(value, str) or not _LABEL.fullmatch(value):
            remedy = "use an address or label that begins with cpc1"
            raise refusal(value, "an L1 address", remedy)
        return cls(value)

    @property
    def spendable(self) -> bool:
        """Whether a key could own it."""
        return _is_account(self)


def _multiaddr(value: object) -> re.Match[str] | None:
    match = _MULTIADDR.fullmatch(value) if isinstance(value, str) else None
    if match is None or int(match[3]) > 65_535 or not _is_host(match[1], match[2]):
        return None
    return match


def _is_host(kind: str, host: str) -> bool:
    try:
        if kind == "ip4":
            ipaddress.IPv4Address(host)
        elif kind == "ip6":
            ipaddress.IPv6Address(host)
        else:
            return _HOST_NAME.fullmatch(host) is not None
    except ValueError:
        return False
    return True


def _is_peer_id(text: str) -> bool:
    try:
        public_key_of(text)
    except BadPeerId:
        return False
    return True


def _is_point(text: str) -> bool:
    try:
        return _KEY_HEX.fullmatch(text) is not None and bool(PublicKey(bytes.fromhex(text)))
    except ValueError:
        return False


def _is_account(text: str) -> bool:
    try:
        check_address(text)
    except BadAddress:
        return False
    return True
