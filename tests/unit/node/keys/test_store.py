"""Keys made, kept private, shown, exported and restored."""

import os
import stat
from pathlib import Path

import pytest

from node.errors import InvalidInput
from node.keys import (
    Cost,
    KeyFileCorrupt,
    KeyFileExposed,
    KeyFileForeign,
    KeysExist,
    KeysMissing,
    PassphraseNeeded,
    WrongPassphrase,
    export_keys,
    load_keys,
    load_or_make_keys,
    make_keys,
    restore_keys,
    show_keys,
)
from node.keys.store import FILES, NodeKeys

CHEAP = Cost(passes=1, memory_bytes=8_192)
SECRET = "correct horse"


def secrets_of(keys: NodeKeys) -> tuple[bytes, bytes]:
    return keys.identity.seed, keys.account.private


def files_of(data_dir: Path) -> list[Path]:
    return [data_dir / "keys" / name for name in FILES.values()]


def test_keys_are_loaded_as_they_were_made(tmp_path: Path) -> None:
    made = make_keys(tmp_path / "new" / "node")
    assert secrets_of(load_keys(tmp_path / "new" / "node")) == secrets_of(made)


def test_a_node_makes_its_keys_once(tmp_path: Path) -> None:
    first = load_or_make_keys(tmp_path)
    assert secrets_of(load_or_make_keys(tmp_path)) == secrets_of(first)


def test_keys_are_never_overwritten(tmp_path: Path) -> None:
    made = make_keys(tmp_path)
    with pytest.raises(KeysExist, match="never overwritten"):
        make_keys(tmp_path)
    assert secrets_of(load_keys(tmp_path)) == secrets_of(made)
    assert [path.name for path in tmp_path.iterdir()] == ["keys"]


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    made = make_keys(tmp_path)
    assert secrets_of(load_keys(tmp_path)) == secrets_of(made)


def test_only_the_owner_can_read_them(tmp_path: Path) -> None:
    make_keys(tmp_path)
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    assert [stat.S_IMODE(path.stat().st_mode) for path in files_of(tmp_path)] == [0o600] * 2


@pytest.mark.parametrize("mode", [0o640, 0o620, 0o610, 0o604, 0o602, 0o601])
@pytest.mark.parametrize("name", FILES.values())
def test_a_file_that_others_can_use_is_refused(tmp_path: Path, name: str, mode: int) -> None:
    make_keys(tmp_path)
    path = tmp_path / "keys" / name
    path.chmod(mode)
    with pytest.raises(KeyFileExposed, match=f"{mode:04o}") as info:
        load_keys(tmp_path)
    assert info.value.remedy == f"chmod 600 {path}"
    with pytest.raises(KeyFileExposed):
        show_keys(tmp_path)


def test_somebody_else_s_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_keys(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(KeyFileExposed, match="belongs to user"):
        load_keys(tmp_path)


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    make_keys(tmp_path)
    peer, _ = files_of(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    peer.rename(elsewhere)
    peer.symlink_to(elsewhere)
    with pytest.raises(KeyFileExposed):
        load_keys(tmp_path)
    peer.unlink()
    os.mkfifo(peer, 0o600)
    with pytest.raises(KeyFileExposed, match="not a regular file"):
        load_keys(tmp_path)


def test_a_missing_key_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(KeysMissing, match="tmnode keys make"):
        load_keys(tmp_path)
    make_keys(tmp_path)
    files_of(tmp_path)[1].unlink()
    with pytest.raises(KeysMissing):
        load_or_make_keys(tmp_path)


def test_exchanged_files_are_refused(tmp_path: Path) -> None:
    make_keys(tmp_path)
    peer, account = files_of(tmp_path)
    peer.write_bytes(account.read_bytes())
    with pytest.raises(KeyFileCorrupt, match="ed25519"):
        load_keys(tmp_path)


def test_a_crash_leaves_no_half_of_the_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []

    def fail_at_the_second(descriptor: int) -> None:
        synced.append(descriptor)
        if len(synced) == 2:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail_at_the_second)
    with pytest.raises(OSError, match="No space"):
        make_keys(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_sealed_keys_open_with_their_passphrase_only(tmp_path: Path) -> None:
    made = make_keys(tmp_path, SECRET, CHEAP)
    assert secrets_of(load_keys(tmp_path, SECRET)) == secrets_of(made)
    with pytest.raises(WrongPassphrase):
        load_keys(tmp_path, SECRET + "!")
    with pytest.raises(PassphraseNeeded, match="TMNODE_PASSPHRASE"):
        load_keys(tmp_path)
    for path in files_of(tmp_path):
        assert made.identity.seed.hex() not in path.read_text()
        assert made.account.private.hex() not in path.read_text()


def test_a_passphrase_is_the_same_however_it_is_typed(tmp_path: Path) -> None:
    make_keys(tmp_path, "caf\N{LATIN SMALL LETTER E WITH ACUTE}", CHEAP)
    load_keys(tmp_path, "cafe\N{COMBINING ACUTE ACCENT}")


def test_an_empty_passphrase_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="empty"):
        make_keys(tmp_path, "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("passphrase", [None, SECRET])
def test_public_halves_are_shown_without_a_passphrase(
    tmp_path: Path, passphrase: str | None
) -> None:
    made = make_keys(tmp_path, passphrase, CHEAP)
    view = show_keys(tmp_path)
    assert view.peer_id == made.identity.peer_id
    assert view.address == made.account.address
    assert view.ed25519_public == made.identity.public_key.hex()
    assert view.account_public == made.account.public_key.hex()
    assert view.sealed == (passphrase is not None)


def test_an_export_brings_both_keys_back(tmp_path: Path) -> None:
    made, file = make_keys(tmp_path / "old"), tmp_path / "export.json"
    export_keys(made, file, SECRET, CHEAP)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert made.identity.seed.hex() not in file.read_text()
    restored = restore_keys(file, tmp_path / "new", SECRET, cost=CHEAP)
    assert secrets_of(restored) == secrets_of(made)
    assert secrets_of(load_keys(tmp_path / "new", SECRET)) == secrets_of(made)


def test_keys_can_be_restored_unsealed(tmp_path: Path) -> None:
    made, file = make_keys(tmp_path / "old"), tmp_path / "export.json"
    export_keys(made, file, SECRET, CHEAP)
    restore_keys(file, tmp_path / "new", SECRET, sealed=False)
    assert secrets_of(load_keys(tmp_path / "new")) == secrets_of(made)


def test_neither_export_nor_restore_overwrites(tmp_path: Path) -> None:
    made, file = make_keys(tmp_path), tmp_path / "export.json"
    export_keys(made, file, SECRET, CHEAP)
    before = file.read_bytes()
    with pytest.raises(KeysExist):
        export_keys(made, file, SECRET, CHEAP)
    with pytest.raises(KeysExist):
        restore_keys(file, tmp_path, SECRET, cost=CHEAP)
    assert file.read_bytes() == before
    assert secrets_of(load_keys(tmp_path)) == secrets_of(made)


def test_restore_takes_nothing_but_an_export(tmp_path: Path) -> None:
    make_keys(tmp_path / "sealed", SECRET, CHEAP)
    for path in files_of(tmp_path / "sealed"):
        with pytest.raises(KeyFileForeign, match="not an export"):
            restore_keys(path, tmp_path / "new", SECRET)
    with pytest.raises(KeysMissing, match="cannot be read"):
        restore_keys(tmp_path / "none", tmp_path / "new", SECRET)
    with pytest.raises(KeysMissing, match="cannot be read"):
        restore_keys(tmp_path, tmp_path / "new", SECRET)
    assert not (tmp_path / "new").exists()


def test_a_wrong_passphrase_restores_nothing(tmp_path: Path) -> None:
    file = tmp_path / "export.json"
    export_keys(make_keys(tmp_path / "old"), file, SECRET, CHEAP)
    with pytest.raises(WrongPassphrase):
        restore_keys(file, tmp_path / "new", "wrong")
    assert not (tmp_path / "new").exists()
