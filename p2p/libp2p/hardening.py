"""What keeps a stranger from ending more than their own stream.

Unguarded, libp2p 0.8.1 stops the whole host when a stream handler raises, stops gossip when one
of its tasks does (a few malformed bytes are enough for either), and allocates whatever length a
negotiating peer announces.
"""

import logging
import os
from collections.abc import Awaitable, Callable
from typing import Any

import trio
from libp2p.abc import IMultiselectCommunicator, INetStream
from libp2p.exceptions import BaseLibp2pError
from libp2p.io.exceptions import IOException
from libp2p.protocol_muxer.exceptions import MultiselectCommunicatorError
from libp2p.stream_muxer.exceptions import MuxedStreamError
from libp2p.tools.anyio_service import Service
from libp2p.utils import encode_delim

logger = logging.getLogger(__name__)

if "LIBP2P_DEBUG" not in os.environ:
    # libp2p reports what strangers do wrong as errors of its own, on stderr; that is not news.
    logging.getLogger("libp2p").setLevel(logging.CRITICAL)

_RESTART_S = 1.0
_END_S = 1.0
_MAX_PROTOCOL_BYTES = 1024


def shielded(seconds: float) -> trio.CancelScope:
    """A scope for cleaning up: not cancelled from outside, but over in `seconds`."""
    return trio.CancelScope(deadline=trio.current_time() + seconds, shield=True)


class Supervisor:
    """Runs a libp2p service whose tasks cannot end it.

    Stands in for libp2p's TrioManager, for which one error in one task ends the service. Here
    the error is logged and the task is over, or begun again if it is a lasting one. (TrioManager
    also walks through all tasks for every one it starts.)
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._nursery: trio.Nursery | None = None
        self._started = trio.Event()
        self._finished = trio.Event()
        service._manager = self

    async def run(self) -> None:
        """Run the service until `stop`."""
        async with trio.open_nursery() as self._nursery:
            self._started.set()
            await self._service.run()

    async def stop(self) -> None:
        """End the service and all its tasks."""
        self._finished.set()
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()

    @property
    def is_started(self) -> bool:
        return self._started.is_set()

    @property
    def is_running(self) -> bool:
        return self.is_started and not self.is_finished

    @property
    def is_finished(self) -> bool:
        return self._finished.is_set()

    async def wait_started(self) -> None:
        await self._started.wait()

    async def wait_finished(self) -> None:
        await self._finished.wait()

    def run_task(
        self, task: Callable[..., Awaitable[Any]], *args: Any, name: str | None = None
    ) -> None:
        if self._nursery is not None and self.is_running:
            self._nursery.start_soon(self._once, task, *args, name=name)

    def run_daemon_task(
        self, task: Callable[..., Awaitable[Any]], *args: Any, name: str | None = None
    ) -> None:
        if self._nursery is not None and self.is_running:
            self._nursery.start_soon(self._always, task, *args, name=name)

    async def _once(self, task: Callable[..., Awaitable[Any]], *args: Any) -> None:
        try:
            await task(*args)
        except BaseLibp2pError as error:
            logger.debug("a task of %s ended: %r", self._service, error)
        except Exception:
            # The outermost guard of libp2p's tasks, which run on what strangers send.
            logger.warning("a task of %s failed", self._service, exc_info=True)

    async def _always(self, task: Callable[..., Awaitable[Any]], *args: Any) -> None:
        while True:
            await self._once(task, *args)
            await trio.sleep(_RESTART_S)


class BoundedCommunicator(IMultiselectCommunicator):  # type: ignore[misc]
    """Protocol negotiation on a stream, with a bound on what the peer may announce."""

    def __init__(self, stream: INetStream) -> None:
        self._stream = stream.muxed_stream

    async def write(self, msg_str: str) -> None:
        """Send a line. Raises MultiselectCommunicatorError."""
        try:
            await self._stream.write(encode_delim((msg_str or "").encode()))
        except (IOException, MuxedStreamError) as error:
            raise MultiselectCommunicatorError("the stream broke") from error

    async def read(self) -> str:
        """The peer's line. Raises MultiselectCommunicatorError."""
        try:
            line = await self._exactly(await self._length())
            return line.removesuffix(b"\n").decode()
        except (IOException, MuxedStreamError, UnicodeDecodeError) as error:
            raise MultiselectCommunicatorError("the stream broke") from error

    async def _length(self) -> int:
        length = 0
        for shift in (0, 7):
            (byte,) = await self._exactly(1)
            length |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
        if not 0 < length <= _MAX_PROTOCOL_BYTES:
            raise MultiselectCommunicatorError(f"a line of {length} bytes or more")
        return length

    async def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            data += await self._stream.read(size - len(data))
        return data


async def end_stream(stream: INetStream) -> None:
    """Nobody uses the stream any more: reset it unless we closed it properly."""
    with shielded(_END_S):
        if stream.muxed_stream.send_closed:
            await stream.remove()
        else:
            await stream.reset()
