"""What only the store on a disk can get wrong: owners, damage, a full disk, reopening."""

import random
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from storage.errors import StorageFailed, StoreLocked, StoreUnusable
from storage.leveldb import open_leveldb
from storage.store import Batch

ROOT = Path(__file__).parents[3]
INCOMPRESSIBLE = random.Random(0).randbytes(10_000)
OWNER = """
import sys
from pathlib import Path
from storage.leveldb import open_leveldb
with open_leveldb(Path(sys.argv[1])):
    print("mine", flush=True)
    sys.stdin.read()
"""


@contextmanager
def full_disk() -> Iterator[None]:
    """No file may grow: every write is refused, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def other_owner(path: Path) -> Iterator[int]:
    command = [sys.executable, "-c", OWNER, str(path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"mine\n"
        yield process.pid
        process.kill()


def batch_of(key: bytes, value: bytes) -> Batch:
    batch = Batch()
    batch.put(key, value)
    return batch


def test_the_contents_survive_reopening(tmp_path: Path) -> None:
    directory = tmp_path / "made" / "with its parents"
    with open_leveldb(directory) as store:
        store.write(batch_of(b"key", b"value"), sync=True)
    with open_leveldb(directory) as store:
        assert store.get(b"key") == b"value"


def test_a_second_open_in_this_process_is_refused(tmp_path: Path) -> None:
    with open_leveldb(tmp_path) as store:
        with pytest.raises(StoreLocked, match="data directory of its own"), open_leveldb(tmp_path):
            pass
        store.write(batch_of(b"key", b"value"), sync=True)


def test_a_refused_open_does_not_let_another_process_in(tmp_path: Path) -> None:
    with open_leveldb(tmp_path):
        with pytest.raises(StoreLocked), open_leveldb(tmp_path):
            pass
        answer = subprocess.run(
            [sys.executable, "-c", OWNER, str(tmp_path)],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            cwd=ROOT,
        )
    assert b"StoreLocked" in answer.stderr
    assert answer.stdout == b""


def test_another_process_keeps_us_out_until_it_dies(tmp_path: Path) -> None:
    with (
        other_owner(tmp_path) as owner,
        pytest.raises(StoreLocked) as refusal,
        open_leveldb(tmp_path),
    ):
        pass
    assert refusal.value.path == tmp_path
    assert refusal.value.owner == str(owner)
    assert str(tmp_path) in str(refusal.value)
    with open_leveldb(tmp_path):
        pass


def test_a_file_in_place_of_the_directory(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"not a directory")
    with pytest.raises(StoreUnusable, match="check that it is a directory"), open_leveldb(path):
        pass


def test_damaged_files(tmp_path: Path) -> None:
    (tmp_path / "CURRENT").write_bytes(b"nonsense")
    with pytest.raises(StoreUnusable, match="Corruption"), open_leveldb(tmp_path):
        pass


def test_damaged_contents_are_noticed(tmp_path: Path) -> None:
    with open_leveldb(tmp_path) as store:
        store.write(batch_of(b"key", INCOMPRESSIBLE), sync=True)
    with open_leveldb(tmp_path):
        pass  # reopening moves the log into a table
    (table,) = tmp_path.glob("*.ldb")
    contents = bytearray(table.read_bytes())
    contents[len(INCOMPRESSIBLE) // 2] ^= 1  # only a checksum can tell
    table.write_bytes(contents)
    with open_leveldb(tmp_path) as store:
        with pytest.raises(StorageFailed, match="checksum mismatch"):
            store.get(b"key")
        with pytest.raises(StorageFailed, match="checksum mismatch"):
            list(store.scan(b"", b"\xff"))
        with pytest.raises(StorageFailed, match="checksum mismatch"):
            list(store.scan(b"", b"\xff", reverse=True))


def test_a_full_disk_is_a_failure_and_loses_nothing_written_before(tmp_path: Path) -> None:
    with open_leveldb(tmp_path) as store:
        store.write(batch_of(b"before", b"1"), sync=True)
        with full_disk(), pytest.raises(StorageFailed, match="IO error"):
            store.write(batch_of(b"after", b"2"), sync=True)
    with open_leveldb(tmp_path) as store:
        assert store.get(b"before") == b"1"


def test_an_error_in_the_block_passes_through_and_unlocks(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="the caller's"), open_leveldb(tmp_path):
        raise OSError("the caller's own")
    with open_leveldb(tmp_path):
        pass
