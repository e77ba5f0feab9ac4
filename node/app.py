"""The composition root: the only place that opens resources and builds objects.

`open_node` opens from the outside in: ports, store, keys, network, chain, compute children, roles,
API. What most often keeps a node from starting (a port in use, a directory that another node has,
keys that do not open) comes first, and is said before anything slow is imported. `run` stops from
the inside out: it cancels the API first, then the roles, and the context managers close upward, so
that each layer still has what it stands on.
"""

import logging
import os
import socket
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import trio

from node.certificates import needs_certificates
from node.config import Config
from node.control import serve_control
from node.control_messages import Controls
from node.errors import ConfigError
from node.keys import NodeKeys, find_passphrase, finish_rotation, load_or_make_keys
from node.lifetime import begin, open_stop_signal, ready
from node.logs import configure_logging
from node.ports import bind_api, check_listen
from node.sandbox.process import forbid_inspection
from p2p.errors import CannotListen
from storage.errors import StorageError
from storage.leveldb import open_leveldb
from storage.store import KeyValueStore

if TYPE_CHECKING:  # imported where they are opened: libp2p alone takes seconds on a slow machine
    from node.assembly import Assembly, Parts
    from node.config.model import NetworkSection
    from node.l1.several import SeveralClients
    from node.roles.worker import Compute
    from storage.database import Database

log = logging.getLogger(__name__)

BLOCKING_THREADS = 4


async def run(config: Config) -> None:
    """Run a node until it is told to stop; prints `ready …` once it is."""
    begin()
    async with open_stop_signal() as stop, open_node(config) as url:
        ready()
        print(f"ready {'+'.join(config.node.roles)} {url}", flush=True)
        await stop.wait()
        log.info("stopping")


class Ground(NamedTuple):
    """What a node stands on: taken before anything else, and cheap to take."""

    listener: socket.socket | None
    """The API's port; None without an API."""
    store: KeyValueStore
    keys: NodeKeys


@asynccontextmanager
async def open_node(config: Config) -> AsyncIterator[str]:
    """A running node; yields the URL of its HTTP door, or an empty text if it has none."""
    forbid_inspection()
    os.umask(0o077)
    async with AsyncExitStack() as stack:
        ground = _take_ground(config, stack)
        peer_id = ground.keys.identity.peer_id
        configure_logging(config.node.log_level, peer_id, "+".join(config.node.roles))
        parts = await _open_parts(config, ground, stack)
        from node.assembly import assemble

        assembly = assemble(parts)
        async with trio.open_nursery() as roles:
            for part in assembly.runs:
                await roles.start(part)
            async with trio.open_nursery() as doors:
                controls = _controls(config, parts.db, assembly)
                await doors.start(serve_control, config.data_dir, controls)
                yield await _open_door(config, parts.db, assembly, ground.listener, doors)
                doors.cancel_scope.cancel()
            roles.cancel_scope.cancel()


def _controls(config: Config, db: "Database", assembly: "Assembly") -> Controls:
    is_held = config.network.economics.settlement == "escrow"
    return Controls(
        backup=db.backup,
        credit=assembly.credit,
        unclaimed=assembly.unclaimed,
        fees=assembly.fees,
        held_by_chain=is_held and "market" in config.node.roles,
    )


def _take_ground(config: Config, stack: AsyncExitStack) -> Ground:
    """Raises ConfigError or KeysError with what keeps the node from starting."""
    place = config.api.listen
    listener = stack.enter_context(bind_api(place.host, place.port)) if place else None
    for address in config.p2p.listen:
        check_listen(address)
    try:
        store = stack.enter_context(open_leveldb(config.data_dir / "db"))
    except StorageError as error:
        raise ConfigError(str(error), field="node.data_dir") from error
    finish_rotation(config.data_dir)
    return Ground(listener, store, load_or_make_keys(config.data_dir, find_passphrase()))


async def _open_parts(config: Config, ground: Ground, stack: AsyncExitStack) -> "Parts":
    from node.assembly import Parts
    from node.attribution import attributed
    from node.offload import Threads
    from p2p.libp2p.network import open_libp2p_network
    from storage.artifacts import ArtifactStore
    from storage.database import open_database

    data_dir = config.data_dir
    db = await stack.enter_async_context(open_database(ground.store))
    try:
        network = await stack.enter_async_context(
            open_libp2p_network(
                ground.keys.identity,
                config.network.network.chain_id,
                listen=config.p2p.listen,
                bootstrap=config.bootstrap,
            )
        )
    except CannotListen as error:
        raise ConfigError(str(error), field="p2p.listen", remedy="choose another port") from error
    scratch = data_dir / "scratch"
    scratch.mkdir(exist_ok=True)
    return Parts(
        config=config,
        keys=ground.keys,
        db=db,
        network=attributed(network),
        l1=await _open_l1(config.network.network, stack),
        places=await _open_places(config, scratch, stack),
        scratch=scratch,
        artifacts=ArtifactStore(data_dir / "artifacts"),
        offload=Threads(BLOCKING_THREADS),
        now_ms=lambda: time.time_ns() // 1_000_000,
    )


async def _open_l1(section: "NetworkSection", stack: AsyncExitStack) -> "SeveralClients":
    import httpx

    from node.l1.client import HttpL1Client
    from node.l1.several import SeveralClients

    urls = (section.l1_url, *section.l1_more_urls)
    http = httpx.AsyncClient(verify=needs_certificates(*urls))
    await stack.enter_async_context(http)
    return SeveralClients({url.shown: HttpL1Client(url, http) for url in urls})


async def _open_places(config: Config, scratch: Path, stack: AsyncExitStack) -> "Sequence[Compute]":
    """A warm compute child for each slot of a worker."""
    if "worker" not in config.node.roles:
        return ()
    from node.sandbox.devices import program_for
    from node.sandbox.pool import open_compute_child

    program = await trio.to_thread.run_sync(program_for, config.worker.device)
    return [
        await stack.enter_async_context(
            open_compute_child(
                memory_limit_bytes=int(config.worker.memory_limit),
                scratch_root=scratch,
                program=program,
            )
        )
        for _ in range(config.worker.slots)
    ]


async def _open_door(
    config: Config,
    db: "Database",
    assembly: "Assembly",
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
        till=assembly.withdrawals,
        paydesk=assembly.paydesk,
        stakes=assembly.staking,
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
