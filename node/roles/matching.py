"""Choosing a worker for an attempt: pure, so that its table of cases is its specification."""

from collections.abc import Callable, Collection, Iterable, Mapping
from hashlib import sha256

import msgspec


class Bench(msgspec.Struct, frozen=True):
    """A worker that could take the attempt."""

    peer_id: str
    slots: int


def pick_worker(
    workers: Iterable[Bench],
    *,
    job: str,
    load: Mapping[str, int],
    strikes: Callable[[str], float],
    tried: Collection[str],
    queue_per_slot: int,
) -> str | None:
    """The peer id of the best free worker, or None.

    Workers that failed this job come last. Then a strike counts as much as one more attempt in
    hand for each slot; what is left equal is decided by a hash of job and worker, so that
    orchestrators spread their choices.
    """
    free = [one for one in workers if load.get(one.peer_id, 0) < one.slots * queue_per_slot]

    def rank(one: Bench) -> tuple[bool, float, bytes]:
        spread = sha256(f"{job}/{one.peer_id}".encode()).digest()
        share = load.get(one.peer_id, 0) / one.slots
        return (one.peer_id in tried, share + strikes(one.peer_id), spread)

    best = min(free, key=rank, default=None)
    return best.peer_id if best else None
