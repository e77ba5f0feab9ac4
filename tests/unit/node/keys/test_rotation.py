"""Keys exchanged for others, and what is left if that is cut short."""

import os
from contextlib import suppress
from pathlib import Path

import pytest

from node.errors import InvalidInput, NotFound
from node.keys import (
    Cost,
    KeyFileCorrupt,
    KeyFileExposed,
    KeyFileForeign,
    NodeKeys,
    PassphraseNeeded,
    WrongPassphrase,
    archived_folder,
    archived_keys,
    bind,
    finish_rotation,
    load_from,
    load_keys,
    make_keys,
    paths_in,
    restore_archived,
    rotate_keys,
    show_keys,
    verify_binding,
)

CHEAP = Cost(passes=1, memory_bytes=8_192)
SECRET = "correct horse"
CHAIN = "cpc-test"


def secrets_of(keys: NodeKeys) -> tuple[bytes, bytes]:
    return keys.identity.seed, keys.account.private


def snapshot(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def archived(data_dir: Path, name: str, passphrase: str | None = None) -> NodeKeys:
    return load_from(paths_in(archived_folder(data_dir, name)), passphrase)


def test_both_keys_are_new_and_the_old_ones_archived(tmp_path: Path) -> None:
    old, files = make_keys(tmp_path), snapshot(tmp_path / "keys")
    rotate_keys(tmp_path)
    new = load_keys(tmp_path)
    assert not set(secrets_of(new)) & set(secrets_of(old))
    (found,) = archived_keys(tmp_path)
    assert (found.name, found.keys.peer_id, found.keys.address) == (
        "0001", old.identity.peer_id, old.account.address
    )  # fmt: skip
    assert snapshot(tmp_path / "keys" / "archive" / "0001") == files, "sealed or not, as they were"
    assert secrets_of(archived(tmp_path, "0001")) == secrets_of(old)
    assert not finish_rotation(tmp_path), "nothing was left to do"


@pytest.mark.parametrize(("kind", "stays"), [("ed25519", "account"), ("secp256k1", "peer")])
def test_one_key_is_new_and_the_other_stays(tmp_path: Path, kind, stays: str) -> None:
    make_keys(tmp_path, SECRET, CHEAP)
    before = snapshot(tmp_path / "keys")
    rotate_keys(tmp_path, SECRET, kinds=[kind])
    after = snapshot(tmp_path / "keys")
    same = {name for name in before if before[name] == after[name]}
    assert same == {f"{stays}.json"}
    load_keys(tmp_path, SECRET)


def test_what_was_sealed_stays_sealed_with_its_passphrase(tmp_path: Path) -> None:
    old = make_keys(tmp_path, SECRET, CHEAP)
    rotate_keys(tmp_path, SECRET)
    assert show_keys(tmp_path).sealed
    new = load_keys(tmp_path, SECRET)
    for file in (tmp_path / "keys").glob("*.json"):
        assert not any(secret.hex() in file.read_text() for secret in secrets_of(new))
    with pytest.raises(WrongPassphrase):
        load_keys(tmp_path, SECRET + "!")
    with pytest.raises(WrongPassphrase):
        archived(tmp_path, "0001", SECRET + "!")
    assert secrets_of(archived(tmp_path, "0001", SECRET)) == secrets_of(old)


@pytest.mark.parametrize(
    ("passphrase", "error"), [(SECRET + "!", WrongPassphrase), (None, PassphraseNeeded)]
)
def test_without_the_passphrase_nothing_is_changed(tmp_path: Path, passphrase, error) -> None:
    make_keys(tmp_path, SECRET, CHEAP)
    rotate_keys(tmp_path, SECRET)
    before = snapshot(tmp_path)
    with pytest.raises(error):
        rotate_keys(tmp_path, passphrase)
    with pytest.raises(error):
        rotate_keys(tmp_path, passphrase, kinds=["secp256k1"])
    with pytest.raises(error):
        restore_archived(tmp_path, "0001", passphrase)
    assert snapshot(tmp_path) == before


def test_archived_keys_come_back(tmp_path: Path) -> None:
    first = make_keys(tmp_path)
    rotate_keys(tmp_path)
    second = load_keys(tmp_path)
    restore_archived(tmp_path, "0001")
    assert secrets_of(load_keys(tmp_path)) == secrets_of(first)
    assert secrets_of(archived(tmp_path, "0002")) == secrets_of(second)
    with pytest.raises(InvalidInput, match="in use"):
        restore_archived(tmp_path, "0001")
    for name in ("0003", "../archive/0001", ""):
        with pytest.raises(NotFound):
            restore_archived(tmp_path, name)


def test_the_new_keys_vouch_for_each_other_and_not_for_the_old(tmp_path: Path) -> None:
    old = make_keys(tmp_path)
    rotate_keys(tmp_path, kinds=["ed25519"])
    new = load_keys(tmp_path)
    assert verify_binding(bind(*new, CHAIN), CHAIN) == old.account.address
    assert bind(*new, CHAIN).ed25519_public != bind(*old, CHAIN).ed25519_public


class Crash(BaseException):
    """The process is gone: nothing below this line runs, not even what cleans up."""


class Fuse:
    """Lets `left` more calls that change the disk happen."""

    CALLS = ("fsync", "mkdir", "open", "rename", "replace", "rmdir", "unlink")

    def __init__(self, monkeypatch: pytest.MonkeyPatch, left: int) -> None:
        self.left = left
        for name in self.CALLS:
            monkeypatch.setattr(os, name, self._fused(getattr(os, name)))

    def _fused(self, call):
        def fused(*arguments, **options):
            if self.left == 0:
                raise Crash
            self.left -= 1
            return call(*arguments, **options)

        return fused


def test_wherever_it_is_cut_short_the_keys_are_the_old_or_the_new_ones(tmp_path: Path) -> None:
    outcomes = []
    for steps in range(1000):
        home = tmp_path / str(steps)
        old = make_keys(home)
        with pytest.MonkeyPatch.context() as patch:
            fuse = Fuse(patch, steps)
            with suppress(Crash):
                rotate_keys(home)
        found = load_keys(home)
        changed = [
            now != then for now, then in zip(secrets_of(found), secrets_of(old), strict=True)
        ]
        assert changed in ([False, False], [True, True]), f"after {steps} steps"
        assert show_keys(home).peer_id == found.identity.peer_id
        if changed == [True, True]:
            assert secrets_of(archived(home, "0001")) == secrets_of(old)
        check_that_it_goes_on(home, found, old)
        outcomes.append(changed[0])
        if fuse.left:
            break
    assert outcomes.count(False) > 5
    assert outcomes.count(True) > 5, "there is something to do after the decision"
    assert outcomes == sorted(outcomes)


def check_that_it_goes_on(home: Path, found: NodeKeys, old: NodeKeys) -> None:
    """The next start, or the next rotation, finds everything in order."""
    finish_rotation(home)
    assert secrets_of(load_keys(home)) == secrets_of(found)
    assert not (home / "keys" / "next").exists()
    rotate_keys(home)
    kept = [one.keys.address for one in archived_keys(home)]
    assert kept == list(dict.fromkeys([old.account.address, found.account.address])), "each once"
    assert load_keys(home).account.address not in kept


def test_what_no_rotation_left_is_not_taken_for_keys(tmp_path: Path) -> None:
    make_keys(tmp_path)
    (tmp_path / "keys" / "next").mkdir()
    (tmp_path / "keys" / "next" / "notes").write_text("mine")
    before = snapshot(tmp_path)
    with pytest.raises(KeyFileCorrupt, match="notes"):
        rotate_keys(tmp_path)
    assert snapshot(tmp_path) == before


def test_foreign_and_exposed_files_are_refused(tmp_path: Path) -> None:
    make_keys(tmp_path)
    rotate_keys(tmp_path)
    kept = tmp_path / "keys" / "archive" / "0001" / "peer.json"
    kept.chmod(0o640)
    with pytest.raises(KeyFileExposed):
        restore_archived(tmp_path, "0001")
    kept.chmod(0o600)
    kept.write_text('{"kty": "OKP"}')
    with pytest.raises(KeyFileForeign):
        restore_archived(tmp_path, "0001")
    with pytest.raises(KeyFileForeign):
        archived_keys(tmp_path)
    rotate_keys(tmp_path)  # what somebody broke in the archive does not matter
    current = tmp_path / "keys" / "account.json"
    current.write_bytes((tmp_path / "keys" / "peer.json").read_bytes())
    with pytest.raises(KeyFileCorrupt):
        rotate_keys(tmp_path)
