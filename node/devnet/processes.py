"""Starting, watching and stopping the programs of a development network."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import trio

from node.errors import NodeError
from node.lifetime import STOP_WITH_PARENT

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
LOG_TAIL_LINES = 5


class ProcessFailed(NodeError):
    """A program ended, or did not get ready; its log says why."""

    code = "process_failed"


class Program:
    """One `tmnode` process. It is ready when it prints its first line, `ready …`."""

    COMMAND: ClassVar[Sequence[str]] = (sys.executable, "-m", "node.cli")

    def __init__(self, name: str, arguments: Sequence[str], log: Path) -> None:
        self.name = name
        self.log = log
        self._arguments = arguments
        self._process: trio.Process | None = None
        self.ready_line = ""

    @property
    def pid(self) -> int:
        """The process id while it runs."""
        if self._process is None:
            raise ProcessFailed(f"{self.name} is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    async def start(self, environment: Mapping[str, str] | None = None) -> None:
        """Start the process and return when it says that it is ready.

        Raises ProcessFailed with the end of its log if it does not.
        """
        with self.log.open("ab") as log:
            self._process = await trio.lowlevel.open_process(
                [*self.COMMAND, *self._arguments],
                stdout=subprocess.PIPE,
                stderr=log,
                stdin=subprocess.PIPE,
                env={**os.environ, STOP_WITH_PARENT: "1", **(environment or {})},
                start_new_session=True,
            )
        with trio.move_on_after(START_TIMEOUT_S):
            self.ready_line = await self._first_line()
        if not self.ready_line.startswith("ready"):
            await self.kill()
            raise ProcessFailed(f"{self.name} did not start: {self._log_tail()}")

    async def stop(self) -> int:
        """Ask the process to stop, wait, and return its exit code; kill it if it does not."""
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        with trio.move_on_after(STOP_TIMEOUT_S):
            await self._process.wait()
        if self._process.poll() is None:
            await self.kill()
        return self._process.returncode or 0

    async def kill(self) -> None:
        """End the process at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            await self._process.wait()

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        os.kill(self.pid, number)

    async def _first_line(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        line = b""
        while not line.endswith(b"\n"):
            received = await self._process.stdout.receive_some(4096)
            if not received:
                break
            line += received
        return line.decode(errors="replace").strip()

    def _log_tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()
        return " / ".join(lines[-LOG_TAIL_LINES:]) or f"see {self.log}"
