"""The content of a key file: versioned JSON, public halves in the clear, secrets perhaps sealed.

The checksum tells a damaged file from a wrong passphrase. It protects nothing against an author of
forged files: for that, the public halves are held against the secrets whenever they are read.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Annotated, Literal

import msgspec

from node.keys.errors import KeyFileCorrupt, KeyFileForeign, PassphraseNeeded
from node.keys.sealing import Passphrase, Seal
from node.l1.keys import AccountKey
from p2p.identity import Identity

MAX_FILE_BYTES = 16_384
SECRET_BYTES = 32

_NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

Kind = Literal["ed25519", "secp256k1"]
_Hex = Annotated[str, msgspec.Meta(pattern=r"^(?:[0-9a-f]{2})*\Z")]


class _Header(msgspec.Struct, frozen=True):
    format: Literal["tmnode-keys"]
    version: int


class KeyFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One or both keys of a node."""

    format: Literal["tmnode-keys"] = "tmnode-keys"
    version: Literal[1] = 1
    public: dict[Kind, _Hex]
    """The public half of each key."""
    seal: Seal | None
    secret: _Hex
    """32 bytes for each key, in the order of their kinds' names; a SecretBox of them if sealed."""
    checksum: _Hex = ""
    """SHA-256 of this record as JSON with an empty checksum."""


def public_half(kind: Kind, secret: bytes) -> bytes:
    """The public key of a secret; raises ValueError if it is none."""
    if kind == "ed25519":
        return Identity.from_seed(secret).public_key
    return AccountKey(secret).public_key


def pack_keys(
    secrets: Mapping[Kind, bytes], passphrase: Passphrase | None, seal: Seal | None
) -> bytes:
    """The bytes of a key file."""
    secret = b"".join(secrets[kind] for kind in sorted(secrets))
    if passphrase is not None and seal is not None:
        secret = passphrase.seal(secret, seal)
    public = {kind: public_half(kind, secrets[kind]).hex() for kind in sorted(secrets)}
    file = KeyFile(public=public, seal=seal, secret=secret.hex())
    whole = msgspec.structs.replace(file, checksum=_checksum(file))
    return msgspec.json.format(msgspec.json.encode(whole)) + b"\n"


def parse_file(data: bytes, name: str) -> KeyFile:
    """Read a key file without opening it; raises KeyFileForeign or KeyFileCorrupt."""
    try:
        header = msgspec.json.decode(data[:MAX_FILE_BYTES], type=_Header)
    except _NOT_JSON as error:
        raise KeyFileForeign("is not a key file of tmnode", field=name) from error
    if header.version != 1 or len(data) > MAX_FILE_BYTES:
        message = f"has version {header.version}, this node reads version 1"
        raise KeyFileForeign(message, field=name, remedy="use the tmnode that wrote it")
    try:
        file = msgspec.json.decode(data, type=KeyFile)
    except _NOT_JSON as error:
        raise _corrupt(name) from error
    if file.checksum != _checksum(file):
        raise _corrupt(name)
    return file


def unpack_keys(file: KeyFile, passphrase: Passphrase | None, name: str) -> dict[Kind, bytes]:
    """The secrets of a key file, held against their public halves.

    Raises PassphraseNeeded, WrongPassphrase or KeyFileCorrupt.
    """
    secret = bytes.fromhex(file.secret)
    if file.seal is not None:
        if passphrase is None:
            remedy = "set TMNODE_PASSPHRASE_FILE or TMNODE_PASSPHRASE"
            raise PassphraseNeeded("is sealed with a passphrase", field=name, remedy=remedy)
        secret = passphrase.open(secret, file.seal)
    kinds = sorted(file.public)
    if len(secret) != SECRET_BYTES * len(kinds):
        raise _corrupt(name)
    secrets = {
        kind: secret[SECRET_BYTES * place : SECRET_BYTES * (place + 1)]
        for place, kind in enumerate(kinds)
    }
    for kind, part in secrets.items():
        _check_half(kind, part, file.public[kind], name)
    return secrets


def _check_half(kind: Kind, secret: bytes, public: str, name: str) -> None:
    try:
        matches = public_half(kind, secret).hex() == public
    except ValueError as error:
        raise _corrupt(name) from error
    if not matches:
        raise _corrupt(name)


def _checksum(file: KeyFile) -> str:
    return sha256(msgspec.json.encode(msgspec.structs.replace(file, checksum=""))).hexdigest()


def _corrupt(name: str) -> KeyFileCorrupt:
    return KeyFileCorrupt("is damaged", field=name, remedy="restore it with `tmnode keys restore`")
