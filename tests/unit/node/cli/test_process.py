"""The program as a process: what it imports, how fast its help is, how it ends."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
HEAVY = {"asyncio", "coincurve", "fastapi", "httpx", "msgspec", "nacl", "numpy", "plyvel", "trio"}

pytestmark = pytest.mark.system


def tmnode(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "node.cli", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys, node.cli.main as root\n"
        "try: root.tmnode.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print('modules:', *sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    imported = {name.partition(".")[0] for name in result.stdout.split("modules:")[1].split()}
    assert imported & HEAVY == set()


def cpu_of_children_s() -> float:
    """What all processes that this one has waited for took."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_help_is_quick(record_property) -> None:
    """In CPU time, so that a busy machine does not fail it."""
    seconds = []
    for _ in range(5):
        start = cpu_of_children_s()
        assert tmnode("--help").returncode == 0
        seconds.append(cpu_of_children_s() - start)
    sys.stdout.write(f"tmnode --help: best of 5 {min(seconds):.3f} s\n")
    record_property("help_s", min(seconds))
    assert min(seconds) < 2.0


def test_exit_codes_of_a_process(tmp_path) -> None:
    assert tmnode("version", "--json").returncode == 0
    assert tmnode("keys", "show", "--data-dir", str(tmp_path)).returncode == 1
    assert tmnode("nonsense").returncode == 2


def test_errors_go_to_stderr_alone(tmp_path) -> None:
    result = tmnode("keys", "show", "--data-dir", str(tmp_path))
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1


def test_a_reader_that_goes_away_is_no_crash() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as out:
        result = subprocess.run(
            [sys.executable, "-m", "node.cli", "config", "show", "--role", "worker"],
            cwd=ROOT,
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert result.returncode == 1
    assert "Traceback" not in result.stderr


def test_keys_of_a_process_are_private_whatever_the_umask(tmp_path) -> None:
    made = tmnode("keys", "make", "--json", "--data-dir", str(tmp_path / "new"), umask=0)
    assert json.loads(made.stdout)["peer_id"].startswith("12D3Koo")
    modes = [path.stat().st_mode & 0o777 for path in (tmp_path / "new" / "keys").iterdir()]
    assert modes == [0o600, 0o600]
