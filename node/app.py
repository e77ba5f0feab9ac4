"""The composition root: the only place that opens resources and builds objects.

`open_node` opens from the outside in: port, keys, store, network, chain, compute children, roles,
API. `run` stops from the inside out: it cancels the API first, then the roles, and the context
managers close upward, so that each layer still has what it stands on.
"""

import logging
import os
import socket
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import httpx
import trio

from node.assembly import Assembly, Parts, assemble
from node.config import Config
from node.errors import ConfigError
from node.keys import find_passphrase, load_or_make_keys
from node.l1.client import HttpL1Client
from node.lifetime import open_stop_signal
from node.logs import configure_logging
from node.offload import Threads
from node.roles.worker import Compute
from node.sandbox.pool import open_compute_child
from node.sandbox.process import forbid_inspection
from p2p.errors import CannotListen
from p2p.libp2p.network import open_libp2p_network
from storage.artifacts import ArtifactStore
from storage.database import Database, open_database
from storage.errors import StorageError
from storage.leveldb import open_leveldb

log = logging.getLogger(__name__)

BLOCKING_THREADS = 4


async def run(config: Config) -> None:
    """Run a node until it is told to stop; prints `ready …` once it is."""
    async with open_stop_signal() as stop, open_node(config) as url:
        print(f"ready {'+'.join(config.node.roles)} {url}", flush=True)
        await stop.wait()
        log.info("stopping")


@asynccontextmanager
async def open_node(config: Config) -> AsyncIterator[str]:
    """A running node; yields the URL of its HTTP door, or an empty text if it has none."""
    forbid_inspection()
    os.umask(0o077)
    configure_logging(config.node.log_level, "+".join(config.node.roles))
    async with AsyncExitStack() as stack:
        listener = _bound_port(config, stack)
        parts = await _open_parts(config, stack)
        assembly = assemble(parts)
        async with trio.open_nursery() as roles:
            for part in assembly.runs:
                await roles.start(part)
            async with trio.open_nursery() as doors:
                yield await _open_door(config, parts.db, assembly, listener, doors)
                doors.cancel_scope.cancel()
            roles.cancel_scope.cancel()


def _bound_port(config: Config, stack: AsyncExitStack) -> socket.socket | None:
    """Take the API's port before anything else is touched, so that a conflict costs nothing."""
    place = config.api.listen
    if not place:
        return None
    from node.api.server import bind_api

    return stack.enter_context(bind_api(place.host, place.port))


async def _open_parts(config: Config, stack: AsyncExitStack) -> Parts:
    data_dir = config.data_dir
    keys = load_or_make_keys(data_dir, find_passphrase())
    try:
        store = stack.enter_context(open_leveldb(data_dir / "db"))
        db = await stack.enter_async_context(open_database(store))
        network = await stack.enter_async_context(
            open_libp2p_network(
                keys.identity,
                config.network.network.chain_id,
                listen=config.p2p.listen,
                bootstrap=config.bootstrap,
            )
        )
    except CannotListen as error:
        raise ConfigError(str(error), field="p2p.listen", remedy="choose another port") from error
    except StorageError as error:
        raise ConfigError(str(error), field="node.data_dir") from error
    http = await stack.enter_async_context(httpx.AsyncClient())
    scratch = data_dir / "scratch"
    scratch.mkdir(exist_ok=True)
    return Parts(
        config=config,
        keys=keys,
        db=db,
        network=network,
        l1=HttpL1Client(config.network.network.l1_url, http),
        places=await _open_places(config, scratch, stack),
        scratch=scratch,
        artifacts=ArtifactStore(data_dir / "artifacts"),
        offload=Threads(BLOCKING_THREADS),
        now_ms=lambda: time.time_ns() // 1_000_000,
    )


async def _open_places(config: Config, scratch: Path, stack: AsyncExitStack) -> Sequence[Compute]:
    """A warm compute child for each slot of a worker."""
    if "worker" not in config.node.roles:
        return ()
    return [
        await stack.enter_async_context(
            open_compute_child(
                memory_limit_bytes=int(config.worker.memory_limit), scratch_root=scratch
            )
        )
        for _ in range(config.worker.slots)
    ]


async def _open_door(
    config: Config,
    db: Database,
    assembly: Assembly,
    listener: socket.socket | None,
    doors: trio.Nursery,
) -> str:
    """Serve the API; returns its URL."""
    if listener is None:
        return ""
    from node.api.accounts import Accounts
    from node.api.rest import build_app
    from node.api.server import Bound, ServerLimits, serve_api
    from node.api.service import Service

    network = config.network.network
    service = Service(
        node=assembly.info,
        market_role=assembly.market,
        key_ring=Accounts(db, network.chain_id, time.time) if assembly.market else None,
        max_body_bytes=config.api.max_body_bytes,
        local_account=str(network.local_account) or None,
        max_deadline_s=config.network.protocol.max_deadline_s,
    )
    place = config.api.listen
    limits = ServerLimits(requests=config.api.max_requests)
    serve = partial(
        serve_api, build_app(service), place.host, place.port, listener=listener, limits=limits
    )
    bound: Bound = await doors.start(serve)
    return bound.url
