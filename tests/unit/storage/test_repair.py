"""Damage of every kind: a store opens with all before the damage, or it is refused by name."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from storage.errors import RepairFailed, StorageFailed, StoreLocked, StoreUnusable
from storage.leveldb import open_leveldb
from storage.repair import repair_leveldb
from storage.store import Batch

OLD = {b"a%03d" % n: random.Random(n).randbytes(500) for n in range(100)}  # in a table
NEW = {b"n%03d" % n: random.Random(-n).randbytes(500) for n in range(200)}  # in the log
ALL = OLD | NEW


def write(path: Path, pairs: dict[bytes, bytes]) -> None:
    with open_leveldb(path) as store:
        for key, value in pairs.items():
            batch = Batch()
            batch.put(key, value)
            store.write(batch, sync=False)


def contents(path: Path) -> dict[bytes, bytes]:
    with open_leveldb(path, create=False) as store:
        return dict(store.scan(b"", None))


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pristine") / "store"
    write(path, OLD)
    write(path, NEW)
    return path


@pytest.fixture
def store(pristine: Path, tmp_path: Path) -> Path:
    shutil.copytree(pristine, tmp_path / "store")
    return tmp_path / "store"


def only(store: Path, pattern: str) -> Path:
    (path,) = store.glob(pattern)
    return path


def flip(path: Path, place: float = 0.5) -> None:
    damaged = bytearray(path.read_bytes())
    damaged[int(len(damaged) * place)] ^= 1
    path.write_bytes(damaged)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_the_log(store: Path) -> None:
    flip(only(store, "*.log"))


def flip_the_table(store: Path) -> None:
    flip(only(store, "*.ldb"))


def cut_the_table(store: Path) -> None:
    cut(only(store, "*.ldb"))


def lose_the_table(store: Path) -> None:
    only(store, "*.ldb").unlink()


def lose_current(store: Path) -> None:
    (store / "CURRENT").unlink()


def empty_current(store: Path) -> None:
    (store / "CURRENT").write_bytes(b"")


def lose_the_manifest(store: Path) -> None:
    only(store, "MANIFEST-*").unlink()


def flip_the_manifest(store: Path) -> None:
    flip(only(store, "MANIFEST-*"))


def lose_the_index(store: Path) -> None:
    lose_current(store)
    lose_the_manifest(store)


LESS = [flip_the_log, flip_the_table, cut_the_table, lose_the_table]  # records are gone
WHOLE = [lose_current, empty_current, lose_the_manifest, flip_the_manifest, lose_the_index]


def test_a_cut_log_opens_with_all_before_the_cut(store: Path) -> None:
    """As a power failure leaves it that came before the sync."""
    log = only(store, "*.log")
    log.write_bytes(log.read_bytes()[:-300])
    last = max(NEW)
    assert contents(store) == {key: value for key, value in ALL.items() if key != last}


def test_zeros_after_the_log_are_nothing(store: Path) -> None:
    """As a power failure leaves it that came after the file had grown, before its blocks."""
    with only(store, "*.log").open("ab") as log:
        log.write(bytes(100_000))
    assert contents(store) == ALL


@pytest.mark.parametrize("damage", LESS + WHOLE)
def test_other_damage_is_refused(store: Path, damage: Callable[[Path], None]) -> None:
    damage(store)
    tables = set(store.glob("*.ldb"))
    with pytest.raises((StoreUnusable, StorageFailed), match="or repair it") as error:
        contents(store)
    assert str(store) in str(error.value)
    assert tables <= set(store.glob("*.ldb"))  # the attempt has not cost anything


@pytest.mark.parametrize("damage", WHOLE)
def test_repair_brings_everything_back(store: Path, damage: Callable[[Path], None]) -> None:
    damage(store)
    report = repair_leveldb(store)
    assert contents(store) == ALL
    assert report.records == len(ALL)
    assert report.size_bytes == sum(len(key) + len(value) for key, value in ALL.items())


@pytest.mark.parametrize("damage", LESS)
def test_repair_keeps_what_is_undamaged(store: Path, damage: Callable[[Path], None]) -> None:
    damage(store)
    before = {path.name: path.read_bytes() for path in store.iterdir()}
    report = repair_leveldb(store)
    left = contents(store)
    assert left.items() < ALL.items()
    assert len(left) == report.records >= len(OLD)
    assert left.items() >= (OLD if damage is flip_the_log else NEW).items()
    assert report.originals == store.with_name("store.damaged-1")
    kept = {path.name: path.read_bytes() for path in report.originals.iterdir()}
    assert kept == {name: data for name, data in before.items() if name != "OWNER"}
    write(store, {b"later": b"1"})
    assert contents(store)[b"later"] == b"1"


def test_a_repaired_store_has_the_newest_of_each_record(store: Path) -> None:
    """LevelDB's repair alone would answer with whatever is in the newest file."""
    for count in range(5):
        write(store, dict.fromkeys(OLD, b"%d" % count))
    lose_current(store)
    repair_leveldb(store)
    with open_leveldb(store) as opened:
        assert {opened.get(key) for key in OLD} == {b"4"}


def test_a_second_repair_keeps_its_originals_too(store: Path) -> None:
    assert repair_leveldb(store).originals.name == "store.damaged-1"
    assert repair_leveldb(store).originals.name == "store.damaged-2"
    assert contents(store) == ALL


def test_a_store_in_use_is_not_repaired(store: Path) -> None:
    with open_leveldb(store), pytest.raises(StoreLocked):
        repair_leveldb(store)
    assert [path.name for path in store.parent.iterdir()] == ["store"]


@pytest.mark.parametrize("made", [False, True])
def test_what_is_no_store_is_not_repaired(tmp_path: Path, made: bool) -> None:
    path = tmp_path / "other"
    if made:
        path.mkdir()
        (path / "notes.txt").write_text("no store")
    with pytest.raises(RepairFailed, match="restore it from a backup"):
        repair_leveldb(path)
