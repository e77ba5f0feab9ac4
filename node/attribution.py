"""Whatever a node logs while it answers a peer is about that peer, and about the task asked for."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

from node.logs import about
from p2p.messages import Message
from p2p.network import BulkHandler, BulkSource, Network

M = TypeVar("M", bound=Message)


def attributed(network: Network) -> Network:
    """The same network, whose handlers, and the tasks that they start, log who asked."""
    return cast(Network, _Attributed(network))


class _Attributed:
    """Passes everything on."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)

    def serve(self, request_type: type[M], handler: Callable[[str, M], Awaitable[Message]]) -> None:
        async def handle(sender: str, message: M) -> Message:
            with about(**_subjects(sender, message)):
                return await handler(sender, message)

        self._network.serve(request_type, handle)

    def serve_bulk(self, name: str, handler: BulkHandler) -> None:
        async def handle(sender: str, argument: bytes) -> BulkSource:
            with about(peer=sender):
                return await handler(sender, argument)

        self._network.serve_bulk(name, handle)


def _subjects(sender: str, message: Message) -> dict[str, str]:
    task_id = getattr(message, "task_id", None)
    return {"peer": sender, "task": task_id} if isinstance(task_id, str) else {"peer": sender}
