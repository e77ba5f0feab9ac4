"""The child's side of the pipe: run one job after another until the node closes it.

The main thread computes. A second thread reads requests, so that a cancel is seen while a job
runs: it sets a flag, and the job's next progress report raises. The end of the pipe, which the
node holds open as long as it lives, ends the process at once.
"""

import contextlib
import importlib
import os
import queue
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import NoReturn, cast

from node.sandbox import frames, process
from node.sandbox.confine import Layers
from node.sandbox.launch import Launch
from node.sandbox.program import Loadable, RunJob

_READ_BYTES = 1 << 16
_PROGRESS_EVERY_S = 0.05
_MAX_REASON = 500


def serve(launch: Launch, layers: Layers, size_file: int) -> NoReturn:
    """Load the program, say that this child is ready, and run jobs until the node goes away."""
    requests, answers = _take_over_pipes()
    program = cast(Loadable, importlib.import_module(launch.program))
    run_job = program.load(**launch.arguments)
    inbox = Inbox(requests)
    inbox.start()
    limit = process.limit_private_memory if launch.devices else process.limit_address_space
    limit(size_file, launch.limits.memory_bytes)
    outbox = Outbox(answers)
    outbox.send(frames.Ready(layers.active, layers.missing))
    while True:
        outbox.send(execute(inbox.next_run(), run_job, inbox, outbox))


class JobCancelled(BaseException):
    """Raised out of the progress callback; no workload's `except Exception` may stop it."""


class Inbox:
    """Requests of the node, read by a thread of their own."""

    def __init__(self, descriptor: int) -> None:
        self.cancelled = threading.Event()
        self._descriptor = descriptor
        self._runs: queue.SimpleQueue[frames.Run] = queue.SimpleQueue()

    def start(self) -> None:
        """Start reading."""
        threading.Thread(target=self._read, name="requests", daemon=True).start()

    def next_run(self) -> frames.Run:
        """The next job, waiting for it."""
        return self._runs.get()

    def _read(self) -> None:
        try:
            reader = frames.FrameReader()
            while data := os.read(self._descriptor, _READ_BYTES):
                reader.feed(data)
                while (body := reader.take()) is not None:
                    self.accept(frames.decode_request(body))
        finally:
            os._exit(0)  # the node is gone, or there is no memory left to listen to it

    def accept(self, request: frames.Request) -> None:
        """Note a request; a cancel that came before a job does not concern it."""
        if isinstance(request, frames.Cancel):
            self.cancelled.set()
        else:
            self.cancelled.clear()
            self._runs.put(request)


class Outbox:
    """Answers to the node; progress is thinned out."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._next_progress = 0.0

    def send(self, answer: frames.Answer) -> None:
        """Write the whole frame; raises OSError when the node is gone."""
        rest = memoryview(frames.encode(answer))
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def progress(self, done: float) -> None:
        """Report progress unless it was reported a moment ago."""
        now = time.monotonic()
        if now >= self._next_progress:
            self._next_progress = now + _PROGRESS_EVERY_S
            self.send(frames.Progress(done))


def execute(run: frames.Run, run_job: RunJob, inbox: Inbox, outbox: Outbox) -> frames.Answer:
    """Run one job to its end, good or bad."""

    def progress(done: float) -> None:
        if inbox.cancelled.is_set():
            raise JobCancelled
        outbox.progress(done)

    try:
        report = run_job(run.kind, run.job, run.parameters, Path(run.scratch), progress)
        return frames.Done(report)
    except JobCancelled:
        return frames.Stopped()
    except MemoryError:
        return frames.Failed("memory", "")
    except Exception as error:  # a workload on a stranger's data may raise anything; the node
        return _failed(error)  # gets the text, and this process goes on


def _failed(error: Exception) -> frames.Failed:
    with contextlib.suppress(OSError):  # the pipe for messages does not wait for a reader
        traceback.print_exc()
    return frames.Failed("error", f"{type(error).__name__}: {error}"[:_MAX_REASON])


def _take_over_pipes() -> tuple[int, int]:
    """Move both pipes away from stdin and stdout, so that no library can write into them."""
    requests, answers = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(sys.stderr.fileno(), 1)
    os.close(null)
    return requests, answers
