"""Which draws a node acts on."""

from collections.abc import Callable, Collection

from gpu.errors import PayloadError
from gpu.workloads import WORKLOADS
from node.config import ProtocolSection
from node.verification.statements import Draw, StatementInvalid, check_draw
from node.workloads import limits_of

SKEW_MS = 10_000
"""How far the market's clock may be from ours."""


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

    def check(self, draw: Draw) -> None:
        """Raise StatementInvalid for a draw that this node must not act on."""
        check_draw(draw, self._chain_id, self._markets)
        if draw.needed < self._protocol.quorum_needed:
            raise StatementInvalid("the quorum is smaller than this network's", field="needed")
        left_ms = draw.expires_ms - self._now_ms()
        if not -SKEW_MS < left_ms <= self._protocol.max_deadline_s * 1000 + SKEW_MS:
            raise StatementInvalid("the draw is over, or ends too late", field="expires_ms")
        _check_work(draw, self._protocol)


def _check_work(draw: Draw, protocol: ProtocolSection) -> None:
    workload = WORKLOADS.get(draw.kind)
    if workload is None:
        raise StatementInvalid(f"this node does not know {draw.kind[:40]!r}", field="kind")
    try:
        workload.check_limits(workload.from_canonical(draw.parameters), limits_of(protocol))
    except PayloadError as error:
        raise StatementInvalid(str(error), field="parameters") from error
