"""What an orchestrator tells a market of attempts that led to nothing."""

from collections.abc import Callable

import msgspec
import pytest

from node.offload import Inline
from node.roles.leases import JobProgress
from node.roles.outputs import OutputShelf
from node.roles.reports import EARLIER_BYTES, MAX_EARLIER, Reporter
from node.verification.statements import Judgement
from node.wire.leases import ReportFailure
from node.wire.presence import Ack
from storage.artifacts import ArtifactStore

LARGEST = 66_000
"""Characters of a result with the largest proof that it has itself."""


@pytest.mark.parametrize(
    ("attempts", "size", "told"),
    [(3, 600, 3), (40, 600, MAX_EARLIER), (40, LARGEST, EARLIER_BYTES // LARGEST)],
)
async def test_the_last_attempts_are_told_as_many_as_fit(
    open_stage: Callable[..., object], make_author, autojump_clock, attempts, size, told
) -> None:
    """Proofs make them large; a report that is too large would be told to nobody."""
    heard: list[ReportFailure] = []

    async def hear(_sender: str, message: ReportFailure) -> Ack:
        heard.append(message)
        return Ack()

    async with open_stage(make_author(2)) as stage:
        stage.person(stage.market).serve(ReportFailure, hear)
        shelf = OutputShelf(stage.network, ArtifactStore(stage.folder / "shelf"), Inline())
        reporter = Reporter(stage.network, shelf, lambda *_: None)
        draw = stage.draw()
        found = []
        for number in range(attempts):
            result, manifest = stage.result(draw, 6 + number)
            result = msgspec.structs.replace(result, proof="a" * size)
            found.append(Judgement(draw, result, manifest, ()))
        await reporter.failed(draw, "no luck", [JobProgress(earlier=tuple(found))], begun=True)
    [message] = heard
    assert message.earlier == tuple(found[-told:])
