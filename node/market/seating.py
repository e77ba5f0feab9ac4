"""Who sits in a task's quorum, who of them orchestrates, and who takes an empty seat.

Seats follow from a snapshot (`node.verification.snapshots`): nobody chooses them. The market
chooses only which of the seats orchestrates.
"""

from collections.abc import Collection, Sequence

from node.errors import Conflict, NodeError
from node.market.tasks import logged
from node.verification.claims import StatementInvalid
from node.verification.draws import Draw, Pass, Seat, check_pass, passed_keys
from node.verification.snapshots import Candidate, Snapshot, draw_from
from p2p.identity import peer_id_of

MAX_REDRAWS = 4
"""In one epoch; what is not complete after them goes on with the validators that are left."""


class NoCandidates(NodeError):
    """No seat of this epoch can be filled anew."""

    code = "no_candidates"


def lease_seats(
    drawn: Sequence[Candidate], *, avoid: Collection[str] = (), full: Collection[str] = ()
) -> tuple[Seat, ...]:
    """The seats of a new epoch, the orchestrator's first; none if nobody can orchestrate.

    Those in `avoid` (peer ids that failed this task before) keep their seats as checkers but
    orchestrate only when nobody else is left, and those in `full` never do.
    """
    able = [one for one in drawn if peer_id_of(one.key) not in full]
    if not able:
        return ()
    first = next((one for one in able if peer_id_of(one.key) not in avoid), able[0])
    return _seated(first.key, drawn)


def check_passes(draw: Draw, passed: Sequence[Pass], chain_id: str) -> None:
    """Raise StatementInvalid unless these seats of the draw may be passed over."""
    others = {seat.key for seat in draw.seats[1:]}
    keys = [one.key for one in passed]
    if not keys or len(set(keys)) != len(keys) or not others.issuperset(keys):
        raise StatementInvalid("names one that checks no seat, or one twice", field="passed")
    for one in passed:
        if (one.duty, one.epoch) != ("check", draw.epoch):
            raise StatementInvalid("is about another duty or epoch", field="passed")
        check_pass(one, draw.task_id, chain_id)


def next_passed(draw: Draw, passed: Sequence[Pass]) -> tuple[Pass, ...]:
    """The log with these added; raises NoCandidates when the epoch has had its share of redraws."""
    if draw.redraw >= MAX_REDRAWS:
        raise NoCandidates(f"seats were filled anew {MAX_REDRAWS} times in this epoch")
    log = logged(draw.passed, *passed)
    before = passed_keys(draw.passed, draw.epoch)
    if not passed_keys(log, draw.epoch) >= before:
        raise NoCandidates("too many were passed over in this epoch")
    return log


def redraw_seats(
    draw: Draw, passed: Sequence[Pass], snapshot: Snapshot, size: int
) -> tuple[Seat, ...] | None:
    """The seats of an epoch's next draw from a snapshot, the same orchestrator first.

    None if the snapshot has nobody who was not seated before, too few for the quorum, or no seat
    for the orchestrator.
    """
    drawn = draw_from(
        snapshot,
        task_id=draw.task_id,
        epoch=draw.epoch,
        kind=draw.kind,
        size=size,
        passed=passed_keys(passed, draw.epoch),
    )
    keys = {one.key for one in drawn}
    first = draw.seats[0].key
    has_new = not keys <= {seat.key for seat in draw.seats}
    if not has_new or len(keys) < draw.needed or first not in keys:
        return None
    return _seated(first, drawn)


def require_redraw(draw: Draw, redraw: int) -> bool:
    """Whether a request is about the current draw; False if that is a later one already.

    Raises Conflict for a draw that there never was.
    """
    if redraw > draw.redraw:
        raise Conflict(f"the epoch's draw is number {draw.redraw}", field="redraw")
    return redraw == draw.redraw


def _seated(first: bytes, drawn: Sequence[Candidate]) -> tuple[Seat, ...]:
    ordered = sorted(drawn, key=lambda one: one.key != first)
    return tuple(Seat(one.key, one.address) for one in ordered)
