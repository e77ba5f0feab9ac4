"""The two keys of a data directory, `keys/peer.json` and `keys/account.json`."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from node.keys.content import (
    MAX_FILE_BYTES,
    KeyFile,
    Kind,
    pack_keys,
    parse_file,
    unpack_keys,
)
from node.keys.errors import KeyFileCorrupt, KeyFileForeign, KeysMissing
from node.keys.files import read_private, write_directory, write_file
from node.keys.sealing import Cost, Passphrase, new_seal
from node.l1.keys import AccountKey, address_of
from p2p.identity import Identity, peer_id_of

FILES: dict[Kind, str] = {"ed25519": "peer.json", "secp256k1": "account.json"}
NEXT = "next"
"""Folder in `keys/` whose files count more: a rotation that has been decided (see `rotation`)."""


class NodeKeys(NamedTuple):
    """A node's secrets: who it is among peers, and who it is on the L1."""

    identity: Identity
    account: AccountKey


class KeysView(msgspec.Struct, frozen=True):
    """What may be shown of a node's keys."""

    peer_id: str
    address: str
    ed25519_public: str
    account_public: str
    sealed: bool


def keys_directory(data_dir: Path) -> Path:
    """Where a data directory keeps its keys."""
    return data_dir / "keys"


def make_keys(data_dir: Path, passphrase: str | None = None, cost: Cost | None = None) -> NodeKeys:
    """Make new keys, sealed if a passphrase is given; raises KeysExist."""
    keys = NodeKeys(Identity.generate(), AccountKey.generate())
    _store(keys, data_dir, passphrase, cost)
    return keys


def load_keys(data_dir: Path, passphrase: str | None = None) -> NodeKeys:
    """Read the keys; raises KeysMissing, KeyFileExposed, PassphraseNeeded and the like."""
    return load_from(current_paths(data_dir), passphrase)


def load_from(paths: Mapping[Kind, Path], passphrase: str | None) -> NodeKeys:
    """Read one file for each key; raises as `load_keys`."""
    opener = Passphrase(passphrase) if passphrase is not None else None
    secrets: dict[Kind, bytes] = {}
    for kind, path in paths.items():
        secrets |= unpack_keys(read_key_file(path, kind), opener, str(path))
    return _keys(secrets)


def load_or_make_keys(data_dir: Path, passphrase: str | None = None) -> NodeKeys:
    """Read the keys; make them if the data directory has never had any."""
    if keys_directory(data_dir).exists():
        return load_keys(data_dir, passphrase)
    return make_keys(data_dir, passphrase)


def show_keys(data_dir: Path) -> KeysView:
    """Read the public halves, for which no passphrase is needed."""
    return show_from(current_paths(data_dir))


def show_from(paths: Mapping[Kind, Path]) -> KeysView:
    """Read the public halves in one file for each key."""
    files = {kind: read_key_file(path, kind) for kind, path in paths.items()}
    peer, account = (bytes.fromhex(files[kind].public[kind]) for kind in FILES)
    return KeysView(
        peer_id=peer_id_of(peer),
        address=address_of(account),
        ed25519_public=peer.hex(),
        account_public=account.hex(),
        sealed=all(file.seal is not None for file in files.values()),
    )


def export_keys(keys: NodeKeys, target: Path, passphrase: str, cost: Cost | None = None) -> None:
    """Write both keys to one sealed file; raises KeysExist."""
    content = pack_keys(_secrets(keys), Passphrase(passphrase), new_seal(cost or Cost()))
    write_file(target, content)


def restore_keys(
    source: Path, data_dir: Path, passphrase: str, *, sealed: bool = True, cost: Cost | None = None
) -> NodeKeys:
    """Read an exported file and store its keys, sealed with the same passphrase unless told not to.

    Raises KeysExist if the data directory has keys, and what opening a sealed file raises.
    """
    file = parse_file(_read_export(source), str(source))
    if set(file.public) != set(FILES) or file.seal is None:
        raise KeyFileForeign("is not an export of `tmnode keys export`", field=str(source))
    keys = _keys(unpack_keys(file, Passphrase(passphrase), str(source)))
    _store(keys, data_dir, passphrase if sealed else None, cost)
    return keys


def _store(keys: NodeKeys, data_dir: Path, passphrase: str | None, cost: Cost | None) -> None:
    sealer = Passphrase(passphrase) if passphrase is not None else None
    seal = new_seal(cost or Cost()) if sealer is not None else None
    contents = {
        FILES[kind]: pack_keys({kind: secret}, sealer, seal)
        for kind, secret in _secrets(keys).items()
    }
    write_directory(keys_directory(data_dir), contents)


def paths_in(folder: Path) -> dict[Kind, Path]:
    """The files of a folder."""
    return {kind: folder / name for kind, name in FILES.items()}


def current_paths(data_dir: Path) -> dict[Kind, Path]:
    """The files that hold a data directory's keys now."""
    decided, folder = paths_in(keys_directory(data_dir) / NEXT), keys_directory(data_dir)
    return {
        kind: decided[kind] if decided[kind].exists() else path
        for kind, path in paths_in(folder).items()
    }


def read_key_file(path: Path, kind: Kind) -> KeyFile:
    """Read a file that holds a key of the kind alone; raises KeyFileCorrupt and the like."""
    file = parse_file(read_private(path), str(path))
    if set(file.public) != {kind}:
        raise KeyFileCorrupt(f"does not hold the {kind} key alone", field=str(path))
    return file


def _read_export(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
        raise KeysMissing(message, field=str(path), remedy="check the path") from error


def _secrets(keys: NodeKeys) -> dict[Kind, bytes]:
    return {"ed25519": keys.identity.seed, "secp256k1": keys.account.private}


def _keys(secrets: dict[Kind, bytes]) -> NodeKeys:
    return NodeKeys(Identity.from_seed(secrets["ed25519"]), AccountKey(secrets["secp256k1"]))
