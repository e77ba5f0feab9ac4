"""Drawing validators for a task: rendezvous hashing, so that nobody chooses.

Each validator's score is a hash of task, epoch and its key; the highest scores get the seats.
Anybody who knows the candidates computes the same draw, and a validator that comes or goes moves
only its own seats. (Thaler and Ravishankar, 1998.)
"""

from collections.abc import Collection, Iterable
from hashlib import sha256

import msgspec

from p2p.encoding import tagged, text, u64


class Candidate(msgspec.Struct, frozen=True):
    """A validator that could take a seat."""

    peer_id: str
    key: bytes
    address: str


def draw_seats(
    candidates: Iterable[Candidate],
    *,
    task_id: str,
    epoch: int,
    size: int,
    avoid: Collection[str] = (),
    full: Collection[str] = (),
) -> tuple[Candidate, ...]:
    """Up to `size` candidates, the orchestrator first; nobody if all of them are full.

    Those in `avoid` (peer ids that failed this task before) keep their seats as checkers but
    orchestrate only when nobody else is left, and those in `full` never do.
    """
    ranked = sorted(candidates, key=lambda one: _score(task_id, epoch, one.key), reverse=True)
    seats = ranked[:size]
    able = [one for one in seats if one.peer_id not in full]
    if not able:
        return ()
    first = next((one for one in able if one.peer_id not in avoid), able[0])
    return (first, *(one for one in seats if one is not first))


def _score(task_id: str, epoch: int, key: bytes) -> bytes:
    return sha256(tagged("tmnode/draw-score", 1, "", text(task_id), u64(epoch), key)).digest()
