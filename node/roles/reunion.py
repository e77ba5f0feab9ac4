"""Finding known peers again: after a restart, after a partition, with or without a bootstrap node.

Whoever is connected and has said where it listens is noted in the address book, and whoever is in
the book and not connected is dialled now and then. Of two nodes that start together, the one with
the lower peer id dials first, so that their dials do not cross.
"""

from contextlib import suppress

import trio

from node.addressbook import AddressBook, Contact
from node.directory import Directory
from p2p.errors import P2PError
from p2p.network import Network

DIALS_AT_ONCE = 16
COURTESY_S = 1.0
"""How long the node with the higher peer id waits for the other's dial."""
REVISIT_S = 30.0
"""Pause between two rounds through the book."""
WANTED_S = 30.0
"""How long a peer is redialled that was found in the book, or lost again."""


class ReunionRole:
    """Keeps the address book and dials who is in it."""

    def __init__(self, network: Network, directory: Directory, book: AddressBook) -> None:
        self._network = network
        self._directory = directory
        self._book = book
        self._limit = trio.CapacityLimiter(DIALS_AT_ONCE)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Note and dial until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._note)
            nursery.start_soon(self._revisit)
            task_status.started()

    async def _note(self) -> None:
        while True:
            changed = self._directory.changed
            for peer in self._network.peers():
                known = self._directory.find(peer.peer_id)
                if known is not None:
                    self._book.note(peer.peer_id, known.presence.addresses)
            await changed.wait()

    async def _revisit(self) -> None:
        while True:
            contacts = self._book.contacts()
            await self._dial([one for one in contacts if one[0] > self._network.peer_id])
            await trio.sleep(COURTESY_S)
            await self._dial([one for one in contacts if one[0] < self._network.peer_id])
            await trio.sleep(REVISIT_S)

    async def _dial(self, contacts: list[tuple[str, Contact]]) -> None:
        async with trio.open_nursery() as nursery:
            for peer_id, contact in contacts:
                nursery.start_soon(self._dial_one, peer_id, contact)

    async def _dial_one(self, peer_id: str, contact: Contact) -> None:
        async with self._limit:
            for address in contact.addresses:
                if self._is_connected(peer_id):
                    return
                with suppress(P2PError):
                    await self._network.connect(address, for_s=WANTED_S)

    def _is_connected(self, peer_id: str) -> bool:
        return any(peer.peer_id == peer_id for peer in self._network.peers())
