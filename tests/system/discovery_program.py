"""A node that does nothing but find the others: the parts of a real one, without its L1 and roles.

It keeps its keys and its address book in a folder. What it tells are lines of JSON: first its own
address, then who is connected, each time a peer comes or goes.
"""

import json
import os
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import trio

from node.addressbook import AddressBook
from node.directory import Directory
from node.keys import bind
from node.l1.keys import AccountKey
from node.roles.presence import PresenceRole
from node.roles.reunion import ReunionRole
from node.wire.presence import Presence
from p2p.identity import Identity
from p2p.libp2p.network import open_libp2p_network
from p2p.network import Network
from storage.database import open_database
from storage.leveldb import open_leveldb

CHAIN = "test-chain"
INTERVAL_S = 1.0


def identity_in(folder: Path) -> Identity:
    folder.mkdir(exist_ok=True)
    path = folder / "seed"
    if not path.exists():
        path.write_bytes(Identity.generate().seed)
    return Identity.from_seed(path.read_bytes())


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Mouth:
    """Where it tells."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def say(self, value: object) -> None:
        os.write(self._pipe.fileno(), json.dumps(value).encode() + b"\n")


async def report(network: Network, mouth: Mouth) -> None:
    async with network.connections() as events:
        mouth.say(network.addresses[0])
        while True:
            mouth.say(sorted(peer.peer_id for peer in network.peers()))
            await events.receive()


async def live(folder: Path, listen: str, bootstrap: Sequence[str], mouth: Mouth) -> None:
    identity = identity_in(folder)
    binding = bind(identity, AccountKey(identity.seed), CHAIN)
    with open_leveldb(folder / "db") as store:
        async with (
            open_database(store) as db,
            open_libp2p_network(identity, CHAIN, [listen], bootstrap) as network,
            trio.open_nursery() as nursery,
        ):
            directory = Directory(CHAIN, now_ms, 3 * INTERVAL_S)
            presence = Presence(binding, ("validator",), ("synthetic",), network.addresses)
            reunion = ReunionRole(network, directory, AddressBook(db, now_ms))
            await nursery.start(PresenceRole(network, directory, presence, INTERVAL_S).run)
            await nursery.start(reunion.run)
            nursery.start_soon(report, network, mouth)


def main(folder: Path, listen: str, bootstrap: Sequence[str], pipe: Connection) -> None:
    """Run until killed."""
    trio.run(live, folder, listen, bootstrap, Mouth(pipe))
