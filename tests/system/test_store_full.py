"""A full disk: the error names the directory and the remedy; nothing acknowledged is lost."""

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from storage.leveldb import open_leveldb
from storage.store import KeyValueStore

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "tests/system/storage_writer.py"
WRITERS = 16
ROOM_BYTES = 2 << 20
OWN_MOUNTS = ["unshare", "--user", "--map-root-user", "--mount"]
IN_SMALL_DISK = """
mount -t tmpfs -o size={room} none {mount} && {{
    {python} {program} {mount}/store {writers}
    cp -r {mount}/store {copy}
}}
"""

# Values so large that it is LevelDB's background work, making a table of a full log, that fails.
FILL_AND_GROW = """
mount -t tmpfs -o size=24m none {mount} || exit 1
{python} -c '{large}' {mount}/store fill
{python} -c '{large}' {mount}/store check
mount -o remount,size=96m {mount}
{python} -c '{large}' {mount}/store check
"""
LARGE = """
import random, sys
from pathlib import Path
from storage.errors import StorageFailed, StoreUnusable
from storage.leveldb import open_leveldb
from storage.store import Batch
store, mode = Path(sys.argv[1]), sys.argv[2]
def value(number):
    return random.Random(number).randbytes(1 << 18)
acknowledged = store.parent.with_name("acknowledged")  # not on the disk that fills
try:
    with open_leveldb(store) as opened:
        if mode == "fill":
            for number in range(1000):
                batch = Batch()
                batch.put(b"%d" % number, value(number))
                opened.write(batch, sync=True)
                acknowledged.write_text(str(number + 1))
        count = int(acknowledged.read_text())
        print("lost", sum(opened.get(b"%d" % n) != value(n) for n in range(count)), "of", count)
except (StorageFailed, StoreUnusable) as error:
    print(type(error).__name__, error)
"""


def limit_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM_BYTES, ROOM_BYTES))


def run(
    command: list[str], preexec: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=preexec,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def check(done: subprocess.CompletedProcess[str], written: Path, stored: Path, why: str) -> None:
    assert "StorageFailed" in done.stderr
    for words in (str(written), why, "make room on its disk and start again"):
        assert words in done.stderr
    acknowledged: dict[int, int] = {}
    for line in done.stdout.splitlines():
        writer, count = map(int, line.split())
        acknowledged[writer] = count
    assert len(acknowledged) == WRITERS
    with open_leveldb(stored, create=False) as store:
        for writer, count in acknowledged.items():
            assert int(store.get(b"count:%d" % writer) or b"0") >= count
        assert halves(store, b"left") == halves(store, b"right")
        assert len(halves(store, b"left")) >= sum(acknowledged.values())


def halves(store: KeyValueStore, half: bytes) -> set[bytes]:
    return {key[len(half) :] for key, _ in store.scan(half + b":", half + b";")}


@pytest.mark.system
def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    command = [sys.executable, str(PROGRAM), str(tmp_path / "store"), str(WRITERS)]
    done = run(command, limit_files)
    assert done.returncode == 1
    check(done, tmp_path / "store", tmp_path / "store", "File too large")


def own_disks() -> bool:
    """Whether this user may mount a small disk in a namespace of his own."""
    command = [*OWN_MOUNTS, "mount", "-t", "tmpfs", "none", "/mnt"]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.system
def test_a_disk_without_room(tmp_path: Path) -> None:
    if not own_disks():
        pytest.skip("no user namespaces here")
    (tmp_path / "mount").mkdir()
    script = IN_SMALL_DISK.format(
        room=ROOM_BYTES,
        mount=tmp_path / "mount",
        python=sys.executable,
        program=PROGRAM,
        writers=WRITERS,
        copy=tmp_path / "copy",
    )
    done = run([*OWN_MOUNTS, "sh", "-c", script])
    assert done.returncode == 0
    check(done, tmp_path / "mount" / "store", tmp_path / "copy", "No space left on device")


@pytest.mark.system
def test_a_disk_that_is_full_and_then_grows(tmp_path: Path) -> None:
    if not own_disks():
        pytest.skip("no user namespaces here")
    (tmp_path / "mount").mkdir()
    script = FILL_AND_GROW.format(mount=tmp_path / "mount", python=sys.executable, large=LARGE)
    done = run([*OWN_MOUNTS, "sh", "-c", script])
    assert len(done.stdout.splitlines()) == 3, done.stdout + done.stderr
    failed, refused, grown = done.stdout.splitlines()
    assert failed.startswith(f"StorageFailed storage failed: {tmp_path / 'mount' / 'store'}: ")
    assert "No space left on device: make room" in failed
    assert refused.startswith("StoreUnusable")
    assert "No space left on device" in refused
    assert "on a disk with room" in refused
    assert grown.startswith("lost 0 of ")
    assert int(grown.split()[-1]) > 60
