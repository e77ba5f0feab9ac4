"""What the documentation must name is taken from the code."""

import importlib
import pkgutil
from pathlib import Path

import node.wire
from node.api.commands import COMMANDS
from p2p.messages import Message

DOCS = Path(__file__).resolve().parents[3] / "docs"


def test_every_message_is_documented() -> None:
    for module in pkgutil.iter_modules(node.wire.__path__, "node.wire."):
        importlib.import_module(module.name)
    page = (DOCS / "protocol.md").read_text()
    ours = [one for one in Message.__subclasses__() if one.__module__.startswith("node.wire.")]
    assert len(ours) > 20
    for message in ours:
        assert f"| {message.TYPE_ID} | `{message.__name__}` |" in page


def test_every_command_is_documented() -> None:
    page = (DOCS / "api.md").read_text()
    for command in COMMANDS:
        method = f"`{command.method}`" if command.method else "–"
        assert f"| `{command.verb} {command.path}` | {method} |" in page
