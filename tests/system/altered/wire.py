"""A node's network with a hand on its messages: what it answers, what it asks, where it is."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from switches import Switches

from p2p.identity import Identity
from p2p.libp2p import network as libp2p_network
from p2p.messages import Message

Handler = Callable[[str, Any], Awaitable[Message]]
Request = Callable[[str, Any], Awaitable[Message]]


class Node(NamedTuple):
    """Whose messages they are."""

    identity: Identity
    chain_id: str
    switches: Switches


Alter = Callable[[Node, Handler, str, Any], Awaitable[Message]]
"""Takes the node, what would be done unaltered, the peer and the message."""


class Hand(NamedTuple):
    """What an alteration does to a kind of message."""

    switch: str
    kind: type[Message]
    alter: Alter


class AlteredNetwork:
    """The real network, but for the messages that an alteration which is on has to do with."""

    def __init__(self, network: Any, node: Node, answers: list[Hand], requests: list[Hand]) -> None:
        self._network = network
        self._node = node
        self._answers = answers
        self._requests = requests

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where others find us: `address` in the place of our own."""
        told = self._node.switches.value("address")
        return (told,) if told else self._network.addresses

    async def connect(self, address: str, **named: Any) -> None:
        """Dial, unless the node `dials-nobody` that it hears of."""
        if not self._node.switches.value("dials-nobody"):
            await self._network.connect(address, **named)

    def serve(self, request_type: type[Message], handler: Handler) -> None:
        """Answer, in the altered way if there is one that is on."""

        async def answer(sender: str, message: Message) -> Message:
            return await self._by(self._answers, handler, sender, message)

        self._network.serve(request_type, answer)

    async def request(self, peer_id: str, message: Message, *, timeout_s: float) -> Message:
        """Ask, in the altered way if there is one that is on."""

        async def ask(peer_id: str, message: Message) -> Message:
            return await self._network.request(peer_id, message, timeout_s=timeout_s)

        return await self._by(self._requests, ask, peer_id, message)

    async def _by(self, hands: list[Hand], plain: Handler, peer: str, message: Message) -> Message:
        for hand in hands:
            if isinstance(message, hand.kind) and self._node.switches.value(hand.switch):
                return await hand.alter(self._node, plain, peer, message)
        return await plain(peer, message)


def alter_messages(switches: Switches, answers: list[Hand], requests: list[Hand]) -> None:
    """Lay hands on the messages of every network that this process opens."""
    open_network = libp2p_network.open_libp2p_network

    @asynccontextmanager
    async def open_altered(
        identity: Identity, chain_id: str, *arguments: Any, **named: Any
    ) -> AsyncIterator[AlteredNetwork]:
        async with open_network(identity, chain_id, *arguments, **named) as network:
            node = Node(identity, chain_id, switches)
            yield AlteredNetwork(network, node, answers, requests)

    libp2p_network.open_libp2p_network = open_altered
