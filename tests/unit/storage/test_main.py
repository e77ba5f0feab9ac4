"""The command line for whoever has to move, restore or repair a store."""

import json
from pathlib import Path

import pytest

from storage.__main__ import main
from storage.leveldb import open_leveldb
from storage.store import Batch


@pytest.fixture
def store(tmp_path: Path) -> Path:
    batch = Batch()
    batch.put(b"key", b"value")
    with open_leveldb(tmp_path / "store") as opened:
        opened.write(batch, sync=True)
    return tmp_path / "store"


def test_backup_and_restore(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    backup, restored = str(store.with_name("backup")), store.with_name("restored")
    assert main(["backup", str(store), backup]) == 0
    written = json.loads(capsys.readouterr().out)
    assert main(["restore", backup, str(restored)]) == 0
    assert json.loads(capsys.readouterr().out) == written
    assert written["records"] == 1
    with open_leveldb(restored) as opened:
        assert opened.get(b"key") == b"value"


def test_repair(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (store / "CURRENT").unlink()
    assert main(["repair", str(store)]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "records": 1,
        "size_bytes": 8,
        "originals": f"{store}.damaged-1",
    }


def test_what_goes_wrong_is_one_line(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (
        ["backup", str(store), str(store)],
        ["backup", str(store) + "-absent", str(store) + "-copy"],
        ["restore", str(store), str(store) + "-copy"],
        ["repair", str(store.parent)],
    ):
        assert main(arguments) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert err.count("\n") == 1
        assert str(store.parent) in err
    with open_leveldb(store), pytest.raises(SystemExit):
        main(["backup", str(store)])
    assert "STORE" in capsys.readouterr().err


def test_a_store_in_use(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open_leveldb(store):
        assert main(["backup", str(store), str(store) + "-copy"]) == 1
    assert "stop that node" in capsys.readouterr().err
