"""A disputed result and its jury: what the jury is about, who may not sit in it, what it came to.

Whoever looks at a jury asks the same: a market when it draws one, a validator before it signs an
award, and anybody with a receipt.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from node.l1.escrow import Act
from node.verification.acts import acts_of
from node.verification.claims import StatementInvalid
from node.verification.draws import Draw
from node.verification.juries import Jury, JuryJob, involved
from node.verification.rulings import Decision, Outcome
from node.verification.snapshots import Snapshot
from node.verification.statements import ComputeResult, Judgement


class Parties(NamedTuple):
    """Who has to do with a task."""

    keys: frozenset[bytes]
    """Of all who sat in its draws, or were passed over."""
    addresses: frozenset[str]
    """Theirs, and the workers'."""


class Findings(NamedTuple):
    """What a jury's decision means for the money; all rising."""

    outcome: Outcome
    jurors: tuple[str, ...]
    """Addresses of those who computed what decides."""
    false: tuple[str, ...]
    """Hashes of false results, hex."""
    acts: tuple[Act, ...]
    """Of those who answer for them."""

    @property
    def culprits(self) -> tuple[str, ...]:
        """Their addresses."""
        return tuple(one.address for one in self.acts)


def parties_of(draws: Iterable[Draw], workers: Iterable[str]) -> Parties:
    """The parties of a task with these draws, and these addresses of workers."""
    found = list(draws)
    seats = [seat for draw in found for seat in draw.seats]
    passed = [one.key for draw in found for one in draw.passed]
    addresses = frozenset(seat.address for seat in seats) | frozenset(workers)
    return Parties(frozenset(seat.key for seat in seats) | frozenset(passed), addresses)


def check_same_work(jury: Jury, draw: Draw, field: str = "jury") -> None:
    """Raise StatementInvalid unless a market drew both for the same epoch of a task."""
    about = (draw.task_id, draw.epoch, draw.kind, draw.parameters, draw.market_key)
    if about != (jury.task_id, jury.epoch, jury.kind, jury.parameters, jury.market_key):
        raise StatementInvalid("the jury is about another task", field=field)


def check_about(
    jury: Jury, draw: Draw, results: Sequence[ComputeResult], field: str = "jury"
) -> None:
    """Raise StatementInvalid unless the jury is about these results, of all jobs, of a draw."""
    check_same_work(jury, draw, field)
    jobs = tuple(JuryJob(one.nonce, one.worker_address) for one in results)
    if jobs != jury.jobs:
        raise StatementInvalid("the jury is about other results", field=f"{field}.jobs")


def check_strangers(jury: Jury, parties: Parties, field: str = "jury") -> None:
    """Raise StatementInvalid if a juror had to do with the result."""
    for seat in jury.seats:
        if seat.key in parties.keys or seat.address in parties.addresses:
            raise StatementInvalid("a juror had to do with the result", field=f"{field}.seats")


def check_excluded(jury: Jury, snapshot: Snapshot, parties: Parties, customer: str) -> None:
    """Raise StatementInvalid unless the jury was drawn without the parties, and with all others.

    A market that excludes whom it likes seats whom it likes. One account more may be missing:
    `customer` is whose deposit pays, and who bought the task on its credit is nobody's to know.
    """
    addresses = parties.addresses | {customer}
    needed = set(involved(snapshot, parties.keys, addresses))
    excluded = set(jury.excluded)
    if not needed <= excluded:
        raise StatementInvalid("whoever had to do with it may be drawn", field="jury.excluded")
    others = {one.key: one.address for one in snapshot.candidates if one.key not in needed}
    more = {others.get(key) for key in excluded - needed}
    if None in more or len(more) > 1:
        problem = "are not only those who had to do with it"
        raise StatementInvalid(problem, field="jury.excluded")


def findings_of(decision: Decision, jury: Jury, jobs: Sequence[Judgement]) -> Findings:
    """What a decision about these jobs means; market and validators come to the same."""
    agreeing = {seat.address for seat in jury.seats if seat.key in decision.agreeing}
    false = [jobs[index] for index in decision.wrong]
    return Findings(
        decision.outcome,
        _rising(agreeing),
        _rising({one.result.result_hash for one in false}),
        acts_of(false),
    )


def _rising(names: Collection[str]) -> tuple[str, ...]:
    return tuple(sorted(names))
