"""Which alterations are on: read from a file at every use, so that a test can switch a running
process, and notes on what they did, so that it can wait for that.
"""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any


class Switches:
    """The alterations of one process; its folder holds `switches.json` and `notes.jsonl`."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "switches.json"
        self._notes = folder / "notes.jsonl"
        self._seen = (0, 0)
        self._values: dict[str, Any] = {}

    def value(self, name: str) -> Any:
        """What the alteration is set to; None if it is off."""
        with suppress(FileNotFoundError):
            stat = os.stat(self._file)
            if self._seen != (stat.st_ino, stat.st_mtime_ns):
                self._values = json.loads(self._file.read_text())
                self._seen = (stat.st_ino, stat.st_mtime_ns)
        return self._values.get(name)

    def note(self, alteration: str, **what: object) -> None:
        """Write down that an alteration did something."""
        with self._notes.open("a") as file:
            file.write(json.dumps({"alteration": alteration, **what}) + "\n")
