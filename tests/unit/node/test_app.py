"""A node that cannot start says so before it imports what takes seconds."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from node.keys import make_keys
from storage.leveldb import open_leveldb

ROOT = Path(__file__).parents[3]
CODE = """
import sys
from pathlib import Path
import trio
from node.app import run
from node.config import load_config
from node.errors import NodeError

config = load_config(None, roles=["market"], data_dir=Path(sys.argv[1]), api=sys.argv[2],
                     listen=["/ip4/127.0.0.1/tcp/0"])
try:
    trio.run(run, config)
except* NodeError as group:
    error = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    print(error.field, "|", error.message)
heavy = {"libp2p", "numpy", "httpx", "hypercorn", "starlette", "node.assembly"} & set(sys.modules)
assert not heavy, heavy
"""


def refusal(home: Path, api: str = "127.0.0.1:0") -> str:
    command = [sys.executable, "-c", CODE, str(home), api]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_busy_port(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        line = refusal(tmp_path, f"127.0.0.1:{taken.getsockname()[1]}")
    assert line.startswith("api.listen | port ")
    assert not list(tmp_path.iterdir()), "nothing was touched"


def test_a_directory_in_use(tmp_path: Path) -> None:
    with open_leveldb(tmp_path / "db"):
        line = refusal(tmp_path)
    assert line.startswith("node.data_dir | ")
    assert "is in use by process" in line
    assert not (tmp_path / "keys").exists()


@pytest.mark.parametrize("how", ["exposed", "foreign", "unfinished"])
def test_bad_keys(tmp_path: Path, how: str) -> None:
    make_keys(tmp_path)
    account = tmp_path / "keys" / "account.json"
    if how == "exposed":
        account.chmod(0o644)
        expected = "can be used by others"
    elif how == "foreign":
        account.write_text("{}")
        expected = "is not a key file of tmnode"
    else:
        (tmp_path / "keys" / "next" / "mine").mkdir(parents=True)
        expected = "holds what no rotation leaves: mine"
    assert expected in refusal(tmp_path)
