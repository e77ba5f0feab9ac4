"""Exchanging the keys of a data directory for others, the old ones kept in its archive.

    keys/peer.json, account.json      the keys
    keys/next/                        what they are about to be: whoever reads prefers it
    keys/archive/0001/ …              what they were, as they were sealed

`next/` appears whole, by one rename, after the old files are in the archive: before that moment
the old keys are the node's, from then on the new ones, wherever a crash comes. Moving its files up
is only tidying, and is done by whoever comes next.
"""

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from node.errors import InvalidInput, NotFound
from node.keys.content import KeyFile, Kind, pack_keys, public_half, unpack_keys
from node.keys.errors import KeyFileCorrupt, KeysError
from node.keys.files import read_private, write_directory
from node.keys.sealing import Passphrase
from node.keys.store import (
    FILES,
    NEXT,
    KeysView,
    current_paths,
    keys_directory,
    load_from,
    paths_in,
    read_key_file,
    show_from,
)
from node.l1.keys import AccountKey
from p2p.identity import Identity
from storage.files import make_directory, sync_directory

ARCHIVE = "archive"
KINDS: tuple[Kind, ...] = tuple(FILES)


class ArchivedKeys(msgspec.Struct, frozen=True):
    """A pair of keys that the node has had."""

    name: str
    keys: KeysView


def rotate_keys(
    data_dir: Path, passphrase: str | None = None, *, kinds: Collection[Kind] = KINDS
) -> None:
    """Put new keys of the kinds in the place of the old ones, sealed as those were.

    The caller sees to it that no node runs, and that nothing depends on the old keys.

    Raises:
        WrongPassphrase, PassphraseNeeded: it does not open the keys there are; nothing is changed.
        KeysMissing, KeyFileExposed, KeyFileForeign, KeyFileCorrupt: as `load_keys`.
    """
    finish_rotation(data_dir)
    opener = Passphrase(passphrase) if passphrase is not None else None
    contents = {}
    for kind, path in current_paths(data_dir).items():
        file = read_key_file(path, kind)
        unpack_keys(file, opener, str(path))  # both must open, also the one that stays
        fresh = _fresh(kind, file, opener) if kind in kinds else read_private(path)
        contents[FILES[kind]] = fresh
    _exchange(data_dir, contents)


def restore_archived(data_dir: Path, name: str, passphrase: str | None = None) -> None:
    """Put archived keys in the place of the keys there are, which are archived in turn.

    Raises:
        NotFound: there are none of that name.
        WrongPassphrase, PassphraseNeeded: it is not theirs; nothing is changed.
        KeyFileExposed, KeyFileForeign, KeyFileCorrupt: as `load_keys`.
    """
    finish_rotation(data_dir)
    folder = archived_folder(data_dir, name)
    load_from(paths_in(folder), passphrase)
    contents = {path.name: read_private(path) for path in paths_in(folder).values()}
    if contents == _contents(data_dir):
        raise InvalidInput("are the keys in use", field=name, remedy="choose older ones")
    _exchange(data_dir, contents)


def archived_keys(data_dir: Path) -> tuple[ArchivedKeys, ...]:
    """What is in the archive, oldest first; no passphrase is needed."""
    return tuple(
        ArchivedKeys(folder.name, show_from(paths_in(folder))) for folder in _archive(data_dir)
    )


def archived_folder(data_dir: Path, name: str) -> Path:
    """Where archived keys lie; raises NotFound."""
    for folder in _archive(data_dir):
        if folder.name == name:
            return folder
    raise NotFound("is not in the archive", field=name, remedy="see `tmnode keys archive`")


def finish_rotation(data_dir: Path) -> bool:
    """Tidy up what a rotation that was cut short left; False if there is nothing.

    Raises KeyFileCorrupt if there is something in `next/` that no rotation put there.
    """
    folder = keys_directory(data_dir) / NEXT
    if not folder.is_dir():
        return False
    names = sorted(entry.name for entry in folder.iterdir())
    if not set(names) <= set(FILES.values()):
        problem = f"holds what no rotation leaves: {', '.join(names)[:80]}"
        raise KeyFileCorrupt(problem, field=str(folder), remedy="move what is not yours away")
    for name in names:
        os.replace(folder / name, folder.parent / name)
    sync_directory(folder.parent)
    folder.rmdir()
    sync_directory(folder.parent)
    return True


def _fresh(kind: Kind, old: KeyFile, opener: Passphrase | None) -> bytes:
    secret = Identity.generate().seed if kind == "ed25519" else AccountKey.generate().private
    assert public_half(kind, secret).hex() != old.public[kind]
    return pack_keys({kind: secret}, opener, old.seal)


def _exchange(data_dir: Path, contents: Mapping[str, bytes]) -> None:
    """The three steps; the second one decides."""
    _keep(data_dir)
    write_directory(keys_directory(data_dir) / NEXT, contents)
    finish_rotation(data_dir)


def _keep(data_dir: Path) -> None:
    """Copy the keys into the archive, unless a rotation that was cut short has done so."""
    contents = _contents(data_dir)
    folders = list(_archive(data_dir))
    with suppress(KeysError):  # what somebody broke there does not stop a rotation
        if folders and _contents_of(folders[-1]) == contents:
            return
    archive = keys_directory(data_dir) / ARCHIVE
    make_directory(archive)
    number = int(folders[-1].name) + 1 if folders else 1
    write_directory(archive / f"{number:04d}", contents)


def _archive(data_dir: Path) -> Iterator[Path]:
    with suppress(FileNotFoundError):
        entries = (keys_directory(data_dir) / ARCHIVE).iterdir()
        numbered = (entry for entry in entries if entry.name.isdecimal())
        yield from sorted(numbered, key=lambda entry: int(entry.name))


def _contents(data_dir: Path) -> dict[str, bytes]:
    return {path.name: read_private(path) for path in current_paths(data_dir).values()}


def _contents_of(folder: Path) -> dict[str, bytes]:
    return {path.name: read_private(path) for path in paths_in(folder).values()}
