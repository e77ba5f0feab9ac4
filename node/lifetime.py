"""How long a process runs: until it is told to stop, or until whoever started it is gone."""

import gc
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

STOP_WITH_PARENT = "TMNODE_STOP_WITH_PARENT"
"""Environment variable: set, the process stops when its standard input ends. A starter that holds
the other end of that pipe then never leaves orphans, not even when it is killed."""


def begin() -> None:
    """Collect no garbage until the process is ready: what it imports and makes till then stays, and
    to look through all of it again and again is a fifth of the work of a start."""
    gc.disable()


def ready() -> None:
    """Collect garbage from now on, and look no more at what is there already."""
    gc.freeze()
    gc.enable()


@asynccontextmanager
async def open_stop_signal() -> AsyncIterator[trio.Event]:
    """An event that SIGTERM, SIGINT or the parent's end sets, while inside."""
    stop = trio.Event()
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_on_signal, signals, stop)
            if os.environ.get(STOP_WITH_PARENT):
                nursery.start_soon(_on_parent_end, stop)
            yield stop
            nursery.cancel_scope.cancel()


async def _on_signal(signals: AsyncIterator[int], stop: trio.Event) -> None:
    async for _ in signals:
        stop.set()


async def _on_parent_end(stop: trio.Event) -> None:
    async with trio.lowlevel.FdStream(os.dup(0)) as standard_input:
        while await standard_input.receive_some(1024):
            pass
    stop.set()
