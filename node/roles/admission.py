"""Which draws and results a node acts on. What was found sound is remembered, not checked again."""

from collections.abc import Callable, Collection
from functools import lru_cache

from gpu.errors import PayloadError
from gpu.workloads import WORKLOADS
from node.config import ProtocolSection
from node.roles.snapshotfeed import SnapshotFeed
from node.verification.claims import StatementInvalid
from node.verification.draws import Draw, check_draw, check_nonce, check_seats
from node.verification.juries import Jury
from node.verification.snapshots import Snapshot
from node.verification.statements import ComputeResult, Manifest, check_result
from node.workloads import lease_s, limits_of, size_of

SKEW_MS = 10_000
"""How far the market's clock may be from ours."""
MAX_REMEMBERED = 1024
"""Draws, and results, that were found sound and are not checked again."""


class DrawGate:
    """Lets draws in that a market signed which counts, that are not over, and whose work is sound.

    What has passed can be computed and checked here: its parameters decode and keep the limits.
    """

    def __init__(
        self,
        *,
        chain_id: str,
        markets: Collection[str],
        protocol: ProtocolSection,
        now_ms: Callable[[], int],
    ) -> None:
        self._chain_id = chain_id
        self._markets = markets
        self._protocol = protocol
        self._now_ms = now_ms
        self._check_sound = lru_cache(MAX_REMEMBERED)(self._sound)
        self._check_result = lru_cache(MAX_REMEMBERED)(check_result)

    def check(self, draw: Draw) -> None:
        """Raise StatementInvalid for a draw that this node must not act on."""
        self._check_sound(draw)
        left_ms = draw.expires_ms - self._now_ms()
        if not -SKEW_MS < left_ms <= self._protocol.max_deadline_s * 1000 + SKEW_MS:
            raise StatementInvalid("the draw is over, or ends too late", field="expires_ms")

    def check_attempt(self, draw: Draw, nonce: int) -> None:
        """Raise StatementInvalid unless this is an attempt of the draw, which has passed."""
        jobs = size_of(draw.kind, draw.parameters).jobs
        check_nonce(nonce, draw, jobs, self._protocol.max_attempts)

    def check_result(self, result: ComputeResult, manifest: Manifest, draw: Draw) -> bytes:
        """The key of the worker behind a sound result of the draw; raises StatementInvalid."""
        return self._check_result(result, manifest, draw, self._chain_id)

    def _sound(self, draw: Draw) -> None:
        """All that stays as it is for as long as this process runs."""
        check_draw(draw, self._chain_id, self._markets)
        if draw.needed < self._protocol.quorum_needed:
            raise StatementInvalid("the quorum is smaller than this network's", field="needed")
        check_work(draw, self._protocol)


class SeatGate(DrawGate):
    """Lets draws in whose seats follow from a snapshot of late: what validators act on."""

    def __init__(
        self,
        *,
        chain_id: str,
        markets: Collection[str],
        protocol: ProtocolSection,
        now_ms: Callable[[], int],
        feed: SnapshotFeed,
    ) -> None:
        super().__init__(chain_id=chain_id, markets=markets, protocol=protocol, now_ms=now_ms)
        self._feed = feed
        self._seated: dict[Draw, None] = {}

    async def admit(self, draw: Draw) -> None:
        """Raise StatementInvalid for a draw that this validator must not act on.

        May have to ask the market for the snapshot, once.
        """
        self.check(draw)
        await self._seat(draw)

    async def admit_past(self, draw: Draw) -> None:
        """The same for a draw that may be over: what was done under it is judged."""
        self._check_sound(draw)
        await self._seat(draw)

    async def _seat(self, draw: Draw) -> None:
        if draw in self._seated:
            return
        snapshot = await self._feed.find(draw)
        check_seats(draw, snapshot, self._protocol.quorum_size, self._chain_id)
        self._check_lately(draw, snapshot)
        self._seated[draw] = None
        if len(self._seated) > MAX_REMEMBERED:
            del self._seated[next(iter(self._seated))]

    def _check_lately(self, draw: Draw, snapshot: Snapshot) -> None:
        """The snapshot was the market's last one when, at the latest, it made the draw."""
        replaced_ms = self._feed.book.replaced_ms(snapshot)
        lease_ms = lease_s(self._protocol, size_of(draw.kind, draw.parameters)) * 1000
        if replaced_ms is not None and draw.expires_ms - lease_ms > replaced_ms + SKEW_MS:
            raise StatementInvalid("the snapshot was replaced before", field="draw.snapshot")


def check_work(draw: Draw | Jury, protocol: ProtocolSection) -> None:
    """Raise StatementInvalid unless this node can compute and check it, within the limits."""
    workload = WORKLOADS.get(draw.kind)
    if workload is None:
        raise StatementInvalid(f"this node does not know {draw.kind[:40]!r}", field="kind")
    try:
        workload.check_limits(workload.from_canonical(draw.parameters), limits_of(protocol))
    except PayloadError as error:
        raise StatementInvalid(str(error), field="parameters") from error
