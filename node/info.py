"""What a node tells about itself: `tmnode status` and `tmnode peers`."""

from collections.abc import Callable, Mapping, Sequence

import node
from node.chainwatch import ChainWatch
from node.directory import Directory
from node.market.views import NodeStatus, WorkerView
from node.verification.author import Author

Facts = Callable[[], Mapping[str, int]]
Waits = Callable[[], Sequence[str]]


class NodeInfo:
    """The `Node` of the API, put together from what each role tells."""

    def __init__(
        self,
        author: Author,
        roles: Sequence[str],
        directory: Directory,
        chain: ChainWatch,
        now_ms: Callable[[], int],
    ) -> None:
        self._author = author
        self._roles = tuple(roles)
        self._directory = directory
        self._chain = chain
        self._now_ms = now_ms
        self._started_ms = now_ms()
        self._facts: list[Facts] = []
        self._waits: list[Waits] = [self._own_waits]

    def add(self, facts: Facts, waits: Waits = tuple) -> None:
        """Let a part of the node contribute numbers, and sentences on what waits for what."""
        self._facts.append(facts)
        self._waits.append(waits)

    def status(self) -> NodeStatus:
        """Describe this node now."""
        return NodeStatus(
            version=node.__version__,
            chain_id=self._author.chain_id,
            peer_id=self._author.identity.peer_id,
            address=self._author.address,
            roles=self._roles,
            uptime_s=(self._now_ms() - self._started_ms) / 1000,
            peers=sum(view.connected for view in self._directory.views()) - 1,
            l1_height=self._chain.height,
            counts={name: value for facts in self._facts for name, value in facts().items()},
            waiting=tuple(line for waits in self._waits for line in waits()),
        )

    def peers(self) -> tuple[WorkerView, ...]:
        """The nodes this one knows, itself included."""
        return self._directory.views()

    def _own_waits(self) -> Sequence[str]:
        return () if self._chain.reachable else ("the L1 does not answer",)
