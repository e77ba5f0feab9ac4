"""`tmnode keys`, end to end in a temporary folder."""

import json
from pathlib import Path

import pytest

from node.keys import Cost, load_keys, make_keys

CHEAP = Cost(passes=1, memory_bytes=8_192)


@pytest.fixture
def passphrase(tmp_path: Path) -> str:
    file = tmp_path / "passphrase"
    file.write_text("secret\n")
    return str(file)


def test_make_and_show(terminal, tmp_path) -> None:
    made = terminal.json("keys", "make", "--data-dir", str(tmp_path))
    assert made == terminal.json("keys", "show", "--data-dir", str(tmp_path))
    keys = load_keys(tmp_path)
    assert made == {
        "peer_id": keys.identity.peer_id,
        "address": keys.account.address,
        "ed25519_public": keys.identity.public_key.hex(),
        "account_public": keys.account.public_key.hex(),
        "sealed": False,
        "data_dir": str(tmp_path),
    }


def test_secrets_are_never_printed(terminal, tmp_path) -> None:
    result = terminal.run("keys", "make", "--data-dir", str(tmp_path))
    shown = terminal.run("keys", "show", "--data-dir", str(tmp_path))
    keys = load_keys(tmp_path)
    for text in (result.output, shown.output):
        assert keys.identity.seed.hex() not in text
        assert keys.account.private.hex() not in text
        assert keys.account.address in text


def test_keys_are_not_made_twice(terminal, tmp_path) -> None:
    terminal.json("keys", "make", "--data-dir", str(tmp_path))
    result = terminal.run("keys", "make", "--data-dir", str(tmp_path))
    assert result.exit_code == 1
    assert "never overwritten" in result.stderr


def test_export_and_restore(terminal, tmp_path, passphrase) -> None:
    made = make_keys(tmp_path / "old")
    file, old, new = (str(tmp_path / name) for name in ("export", "old", "new"))
    secret = ["--passphrase-file", passphrase]
    exported = terminal.json("keys", "export", file, "--data-dir", old, *secret)
    assert exported == {"file": file}
    restored = terminal.json("keys", "restore", file, "--data-dir", new, "--unsealed", *secret)
    assert restored["peer_id"] == made.identity.peer_id
    assert not restored["sealed"]
    assert load_keys(tmp_path / "new").account.private == made.account.private


def test_sealed_keys_are_exported_under_their_own_passphrase(
    terminal, tmp_path, passphrase
) -> None:
    make_keys(tmp_path / "old", "another", CHEAP)
    arguments = ["--data-dir", str(tmp_path / "old"), "--passphrase-file", passphrase]
    result = terminal.run("keys", "export", str(tmp_path / "export"), *arguments)
    assert result.exit_code == 1
    assert "does not open" in result.stderr
    assert not (tmp_path / "export").exists()


def test_without_a_terminal_a_passphrase_must_be_handed_over(terminal, tmp_path) -> None:
    make_keys(tmp_path)
    arguments = ["keys", "export", str(tmp_path / "export"), "--data-dir", str(tmp_path), "--json"]
    result = terminal.run(*arguments)
    assert result.exit_code == 1
    assert json.loads(result.stdout)["error"]["remedy"].startswith("give --passphrase-file")
    result = terminal.run("keys", "make", "--seal", "--data-dir", str(tmp_path / "other"))
    assert result.exit_code == 1
    assert not (tmp_path / "other").exists()


def test_a_passphrase_from_the_environment_seals(
    terminal, tmp_path, passphrase, monkeypatch
) -> None:
    monkeypatch.setenv("TMNODE_PASSPHRASE_FILE", passphrase)
    assert terminal.json("keys", "make", "--data-dir", str(tmp_path / "node"))["sealed"]
    load_keys(tmp_path / "node", "secret")
