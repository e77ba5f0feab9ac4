"""Sentences for `tmnode status`: what waits for what, and what keeps a node from its work.

Pure functions of numbers: whoever knows the numbers calls them.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from node.amounts import format_cpc

ROOM_BYTES = 64 << 20
"""Free space below which the next write may be refused."""
L1_SILENT_S = 10.0
"""Without an answer for so long, the L1 counts as away: it is asked every second."""
L1_BEHIND_BLOCKS = 20
"""Blocks that a reader of the chain may lag behind its tip."""


class Queue(NamedTuple):
    """The queued tasks of one kind, and what there is to do them."""

    kind: str
    tasks: int
    validators: int
    """Connected, and taking the kind."""
    needed: int
    """Validators that must agree."""
    slots: int
    """Jobs of the kind that all known workers can run at once."""
    leased: int
    """Tasks of any kind in the hands of validators."""


def queue_sentence(queue: Queue) -> str:
    """Why the tasks are not leased."""
    subject = f"{_counted(queue.tasks, queue.kind + ' task')} {_verb(queue.tasks, 'wait')}"
    if queue.validators == 0:
        return f"{subject} for validators: none that takes {queue.kind} is connected"
    if queue.validators < queue.needed:
        there = f"{queue.validators} of the {queue.needed} that must agree"
        return f"{subject} for a quorum: {there} {_be(queue.validators)} connected"
    if queue.slots == 0:
        return f"{subject} for a worker: none that takes {queue.kind} is connected"
    busy = f"{_counted(queue.leased, 'task')} {_be(queue.leased)} in hand"
    return f"{subject} for a free worker: {busy}, for {_counted(queue.slots, 'slot')}"


def payment_sentence(payments: int, units: int) -> str:
    """Payments that are signed and in no confirmed block yet."""
    amount = f"{format_cpc(units)} CPC"
    return (
        f"{_counted(payments, 'payment')} ({amount}) {_verb(payments, 'wait')} for a block of the"
        " L1"
    )


def patience_sentence(payees: int, units: int) -> str:
    """Payees who are owed less than what they, or the network, pay at."""
    subject = f"{_counted(payees, 'payee')} ({format_cpc(units)} CPC) {_verb(payees, 'wait')}"
    return f"{subject} below the threshold: paid with more, or when it is old enough"


def job_sentence(jobs: int, barred: int) -> str:
    """Jobs that no worker has taken."""
    subject = f"{_counted(jobs, 'job')} {_verb(jobs, 'wait')} for a worker"
    return subject if not barred else f"{subject}; {_counted(barred, 'worker')} get none for now"


def result_sentence(results: int) -> str:
    """Verified results that are in no confirmed block yet."""
    return f"{_counted(results, 'verified result')} {_verb(results, 'wait')} for a block of the L1"


def escrow_sentence(escrows: int) -> str:
    """Escrows that were asked to be opened or closed, and in no confirmed block."""
    return f"{_counted(escrows, 'escrow')} {_verb(escrows, 'wait')} for a block of the L1"


def unsigned_sentence(escrows: int) -> str:
    """Escrows that are to be closed and lack the signatures for it."""
    return f"{_counted(escrows, 'escrow')} {_verb(escrows, 'wait')} for validators' signatures"


FEES_SENTENCE = (
    "payouts wait for L1 fees: the ledger's account `fees` holds less than a TRANSFER costs"
)


def bond_obstacle(blocks: int, block_s: float, disputable_s: float) -> Sequence[str]:
    """A chain whose `blocks` of unbonding are over before a result is beyond dispute."""
    if blocks * block_s > disputable_s:
        return ()
    return (
        f"the L1 gives a bond back after {blocks} blocks, about {blocks * block_s:g} s, while its"
        f" results can be disputed for {disputable_s:g} s: this network asks for bonds, and needs a"
        " chain that holds them longer",
    )


def l1_obstacle(height: int | None, silent_s: float) -> Sequence[str]:
    """The L1 has never answered, or not for a while."""
    if height is None:
        return (f"the L1 has not answered since the start, {silent_s:.0f} s ago",)
    if silent_s > L1_SILENT_S:
        return (f"the L1 has not answered for {silent_s:.0f} s; its last block was {height}",)
    return ()


def behind_obstacle(read: int | None, height: int | None) -> Sequence[str]:
    """The chain is not read up to its tip: what customers deposited may be missing."""
    if read is None or height is None or height - read <= L1_BEHIND_BLOCKS:
        return ()
    return (f"deposits are read up to block {read} of {height}",)


def storage_obstacle(directory: Path) -> Sequence[str]:
    """The disk takes nothing more. (One that refused a write has ended the node already.)"""
    try:
        found = os.statvfs(directory)
    except OSError as error:
        return (f"{directory} cannot be looked at: {error.strerror}",)
    if found.f_flag & os.ST_RDONLY:
        return (f"the disk of {directory} is read-only",)
    room = found.f_bavail * found.f_frsize
    if room < ROOM_BYTES:
        return (f"the disk of {directory} has {room >> 20} MiB left, of {ROOM_BYTES >> 20} needed",)
    return ()


def peer_obstacles(
    roles: Sequence[str], count: Callable[[str], int], quorum_needed: int
) -> Sequence[str]:
    """Who is missing for the node's roles; `count` says how many of a role are connected."""
    found = []
    validators = count("validator")
    if "market" in roles and validators < quorum_needed:
        there = f"{validators} of {quorum_needed}"
        found.append(f"too few validators for a quorum: {there} {_be(validators)} connected")
    for role, needed in _NEEDS.items():
        if role in roles:
            found += [f"no {other} is connected" for other in needed if count(other) == 0]
    return tuple(dict.fromkeys(found))


_NEEDS: Mapping[str, Sequence[str]] = {
    "validator": ("market", "worker"),
    "worker": ("validator",),
}


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _verb(number: int, verb: str) -> str:
    return verb + ("s" if number == 1 else "")


def _be(number: int) -> str:
    return "is" if number == 1 else "are"
