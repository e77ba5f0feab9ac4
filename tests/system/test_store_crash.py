"""kill -9 under load: nothing acknowledged is missing and no commit is there by half."""

import os
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest

from storage.leveldb import open_leveldb
from storage.store import KeyValueStore

ROOT = Path(__file__).parents[2]
WRITERS = 64
LINES_BEFORE_THE_KILL = [1, 3000, 5000]


def write_and_kill(directory: Path, lines: int) -> dict[int, int]:
    """Run the writer, kill it after so many lines, and return each writer's last acknowledged."""
    command = [sys.executable, str(ROOT / "tests/system/storage_writer.py"), str(directory)]
    with subprocess.Popen(
        [*command, str(WRITERS)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        assert process.stdout is not None
        try:
            acknowledged = dict(map(parse, islice(process.stdout, lines)))
        finally:
            process.kill()
        acknowledged |= dict(map(parse, process.stdout))  # what it still said before it died
    assert process.returncode == -9
    return acknowledged


def parse(line: str) -> tuple[int, int]:
    writer, count = line.split()
    return int(writer), int(count)


def stored_counts(store: KeyValueStore, half: bytes) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {writer: [] for writer in range(WRITERS)}
    for key, _ in store.scan(half + b":", half + b";"):
        writer, count = key.split(b":")[1:]
        found[int(writer)].append(int(count))
    return {writer: sorted(counts) for writer, counts in found.items()}


@pytest.mark.system
def test_nothing_acknowledged_is_lost_to_kill_9(tmp_path: Path) -> None:
    for lines in LINES_BEFORE_THE_KILL:
        acknowledged = write_and_kill(tmp_path, lines)
        with open_leveldb(tmp_path) as store:
            left, right = stored_counts(store, b"left"), stored_counts(store, b"right")
            last = {writer: store.get(b"count:%d" % writer) for writer in range(WRITERS)}
        assert left == right
        for writer, counts in left.items():
            assert counts == list(range(1, len(counts) + 1))
            assert len(counts) >= acknowledged.get(writer, 0)
            assert last[writer] == (b"%d" % len(counts) if counts else None)
        assert sum(map(len, left.values())) >= lines
