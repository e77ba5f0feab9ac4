"""The node's side of one child process: start it, exchange frames with it, end it.

There is no task beside the caller's: what the child prints to stderr waits in its pipe, which is
set not to block the writer, and is logged when the node next deals with the child. What does not
fit into the pipe is lost.
"""

import contextlib
import logging
import os
import signal
import subprocess
from typing import IO, NoReturn, cast

import trio

from node.printable import printable
from node.sandbox import frames
from node.sandbox.errors import ComputeCrashed, SandboxNotStarted
from node.sandbox.launch import Launch, command, environment

log = logging.getLogger(__name__)

_READ_BYTES = 1 << 16
_MAX_LINES = 20
_MAX_LINE = 300
_DYING_S = 0.5
_DEATH_S = 5.0
_LOST = (trio.BrokenResourceError, trio.ClosedResourceError)


class ChildProcess:
    """A started child. `ready` and `busy` (it owes an answer) are its user's notes."""

    def __init__(self, popen: subprocess.Popen[bytes], messages: int) -> None:
        self.ready = self.busy = False
        self._popen = popen
        self._requests = _stream(popen.stdin)
        self._answers = _stream(popen.stdout)
        self._messages: int | None = messages
        self._reader = frames.FrameReader()
        self._last_line = ""

    @property
    def process_id(self) -> int:
        """The process id, also after the end."""
        return self._popen.pid

    @property
    def ended(self) -> bool:
        """Whether the process is gone, or was given up by `end`."""
        return self._messages is None or self._popen.poll() is not None

    async def send(self, request: frames.Request) -> None:
        """Send a message; raises ComputeCrashed."""
        try:
            await self._requests.send_all(frames.encode(request))
        except _LOST:
            await self._lost()

    async def receive(self) -> frames.Answer:
        """The next message; raises ComputeCrashed, and by then the child has ended."""
        try:
            while (body := self._reader.take()) is None:
                self._reader.feed(await self._receive_some())
            return frames.decode_answer(body)
        except frames.MalformedFrame as error:
            await self.end()
            raise ComputeCrashed(f"it sent {error}") from error

    async def end(self) -> None:
        """Kill the process, wait for its death, log its last messages and close its pipes."""
        if not self.ended:
            os.killpg(self.process_id, signal.SIGKILL)
            await self._death(_DEATH_S)
        self.log_messages()
        if self._messages is not None:
            os.close(self._messages)
            self._messages = None
        with trio.CancelScope(shield=True):
            await self._requests.aclose()
            await self._answers.aclose()

    def log_messages(self) -> None:
        """Log what the child has printed since the last time."""
        if self._messages is None:
            return
        with contextlib.suppress(BlockingIOError):  # nothing there
            text = os.read(self._messages, _READ_BYTES).decode("utf-8", "replace")
            for line in text.splitlines()[-_MAX_LINES:]:
                self._last_line = printable(line, _MAX_LINE)
                log.info("compute child %d: %s", self.process_id, self._last_line)

    async def _receive_some(self) -> bytes:
        try:
            data = await self._answers.receive_some(_READ_BYTES)
        except _LOST:
            data = b""
        return bytes(data) or await self._lost()

    async def _lost(self) -> NoReturn:
        """Raise the reason for a closed pipe: as a rule the child is just dying of it."""
        await self._death(_DYING_S)
        await self.end()
        last_words = f"; it last said: {self._last_line}" if self._last_line else ""
        raise ComputeCrashed(_cause(self._popen.returncode) + last_words)

    async def _death(self, timeout_s: float) -> None:
        """Wait until the process has ended, whatever happens to the caller, but not for ever."""
        if self._popen.poll() is not None:
            return
        descriptor = os.pidfd_open(self.process_id)
        try:
            deadline = trio.current_time() + timeout_s
            with trio.CancelScope(deadline=deadline, shield=True):
                await trio.lowlevel.wait_readable(descriptor)
        finally:
            os.close(descriptor)
        if self._popen.poll() is None:
            log.warning("compute child %d is still there", self.process_id)


def spawn(launch: Launch) -> ChildProcess:
    """Start a child, which then makes itself ready; raises SandboxNotStarted.

    In the calling thread, although that holds up the event loop for a moment (0.7 ms): the kernel
    kills the child when the *thread* that started it ends, and threads of a pool do.
    """
    messages, writer = os.pipe()
    os.set_blocking(messages, False)
    os.set_blocking(writer, False)
    try:
        popen = subprocess.Popen(
            command(launch),
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=writer,
            cwd=launch.scratch_root,
            env=environment(launch),
            start_new_session=True,
        )
    except OSError as error:
        os.close(messages)
        raise SandboxNotStarted(f"the compute child cannot be started: {error}") from error
    finally:
        os.close(writer)
    return ChildProcess(popen, messages)


def _stream(pipe: IO[bytes] | None) -> trio.lowlevel.FdStream:
    with cast(IO[bytes], pipe) as file:
        return trio.lowlevel.FdStream(os.dup(file.fileno()))


def _cause(returncode: int | None) -> str:
    if returncode is None:
        return "it closed its pipe and cannot be killed"
    if returncode < 0:
        return f"killed by signal {-returncode} ({signal.strsignal(-returncode)})"
    return f"it ended by itself with status {returncode}"
