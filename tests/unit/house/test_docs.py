"""What the documentation must name is taken from the code."""

import subprocess
import sys
from pathlib import Path
from typing import get_args

from node.api.commands import COMMANDS
from node.market.phases import Phase

DOCS = Path(__file__).resolve().parents[3] / "docs"


def test_the_tables_of_the_protocol_are_true() -> None:
    checked = subprocess.run([sys.executable, DOCS / "tables.py", "--check"], check=False)
    assert checked.returncode == 0, "run: python docs/tables.py"


def test_every_wait_of_the_protocol_says_what_for() -> None:
    page = (DOCS / "protocol.md").read_text()
    waits = page.partition("<!-- waits: begin -->")[2].partition("<!-- waits: end -->")[0]
    rows = [line for line in waits.splitlines() if line.startswith("| `")]
    assert len(rows) > 30
    assert [row for row in rows if row.endswith("|  |")] == []


def test_every_phase_of_a_task_is_documented() -> None:
    page = (DOCS / "protocol.md").read_text()
    for phase in get_args(Phase):
        assert f"| `{phase}` |" in page


def test_every_command_is_documented() -> None:
    page = (DOCS / "api.md").read_text()
    for command in COMMANDS:
        method = f"`{command.method}`" if command.method else "–"
        assert f"| `{command.verb} {command.path}` | {method} |" in page
