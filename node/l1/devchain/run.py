"""Opening and serving a development chain."""

import errno
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial

import trio

from node.l1.devchain.config import DevChainConfig, check_config
from node.l1.devchain.node import DevChain, open_chain
from node.l1.errors import PortInUse
from storage.database import open_database
from storage.leveldb import open_leveldb

BACKLOG = 512
STOP_S = 1.0  # for requests that are being answered when the chain stops
MANY_REQUESTS = 10**9  # on one connection: the web server would close it after a thousand


class Served:
    """A development chain that answers HTTP."""

    def __init__(self, chain: DevChain, host: str, port: int) -> None:
        self.chain = chain
        self.host = host
        self.port = port

    @property
    def url(self) -> str:
        """Where it answers."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


@asynccontextmanager
async def open_devchain(config: DevChainConfig) -> AsyncIterator[Served]:
    """A running chain that makes blocks and answers requests until the block is left.

    Raises:
        PortInUse: another process listens there.
        BadGenesis: the configuration makes no chain.
        OtherChain: the data directory holds another chain.
        StoreLocked: another process runs this chain (and StoreUnusable for a broken directory).
        StorageFailed: the disk refused a write.
    """
    check_config(config)
    with _listening(config) as listener, open_leveldb(config.data_dir / "chain") as store:
        port = listener.getsockname()[1]
        async with open_database(store) as db:
            chain = await open_chain(config, db, time.time)
            async with trio.open_nursery() as blocks:
                async with _serving(chain, listener):
                    await blocks.start(chain.run)
                    yield Served(chain, config.host, port)
                blocks.cancel_scope.cancel()


@asynccontextmanager
async def _serving(chain: DevChain, listener: socket.socket) -> AsyncIterator[None]:
    """Answer requests; on leaving, end the event streams and let the rest finish."""
    from hypercorn.config import Config
    from hypercorn.trio import serve

    from node.l1.devchain.server import build_app

    settings = Config()
    settings.bind = [f"fd://{listener.detach()}"]
    settings.errorlog = settings.accesslog = None
    settings.graceful_timeout = STOP_S
    settings.keep_alive_max_requests = MANY_REQUESTS
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        await nursery.start(
            partial(serve, build_app(chain), settings, shutdown_trigger=stop.wait, mode="asgi")
        )
        try:
            yield
        finally:
            chain.events.close()
            stop.set()


@contextmanager
def _listening(config: DevChainConfig) -> Iterator[socket.socket]:
    """The port, taken before anything on the disk is touched."""
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((config.host, config.port))
            listener.listen(BACKLOG)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortInUse(config.host, config.port) from error
            raise
        yield listener
