"""What an orchestrator reports about a task, held against the draws and the signatures."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from node.errors import Conflict
from node.verification.claims import StatementInvalid
from node.verification.draws import Draw, check_draw, check_nonce, job_of
from node.verification.quorum import decide
from node.verification.statements import Judgement, check_result, check_verdict

MAX_EARLIER = 64
"""Attempts that were not valid and are kept with a task, over all epochs; more are unpaid."""


class JudgeRules(msgspec.Struct, frozen=True):
    """What every judgement of a network is held to."""

    chain_id: str
    market: str
    """Peer id of this market: only its own draws count here."""
    max_attempts: int


class Epoch(Protocol):
    """The epoch of a task whose attempts are judged: a `TaskRecord`, or a `PastEpoch`."""

    @property
    def task_id(self) -> str:
        """Of the task."""

    @property
    def jobs(self) -> int:
        """Parts that its work is planned in."""

    @property
    def epoch(self) -> int:
        """The epoch's number."""

    @property
    def draw(self) -> Draw | None:
        """The last of its draws."""


class PastEpoch(msgspec.Struct, frozen=True):
    """An epoch that is over."""

    task_id: str
    jobs: int
    epoch: int
    draw: Draw


def check_jobs(jobs: Sequence[Judgement], task: Epoch, rules: JudgeRules) -> None:
    """Raise StatementInvalid unless a quorum found every job's result valid, in their order."""
    if [job_of(one.result.nonce) for one in jobs] != list(range(task.jobs)):
        raise StatementInvalid(f"are not the {task.jobs} of this task, in order", field="jobs")
    for one in jobs:
        check_judgement(one, task, rules)
        draw = one.draw
        if decide(one.verdicts, seats=len(draw.seats), needed=draw.needed) != "valid":
            raise StatementInvalid("make no quorum for this result", field="verdicts")


def check_earlier(
    earlier: Sequence[Judgement], jobs: Sequence[Judgement], task: Epoch, rules: JudgeRules
) -> None:
    """Raise StatementInvalid unless these are other attempts of the epoch, each once."""
    nonces = [one.result.nonce for one in (*jobs, *earlier)]
    if len(set(nonces)) != len(nonces):
        raise StatementInvalid("an attempt stands twice", field="earlier")
    for one in earlier:
        check_judgement(one, task, rules)


def check_judgement(one: Judgement, task: Epoch, rules: JudgeRules) -> None:
    """Raise StatementInvalid unless result and verdicts are about an attempt of the epoch."""
    _check_own_draw(one.draw, task, rules)
    check_nonce(one.result.nonce, one.draw, task.jobs, rules.max_attempts)
    check_result(one.result, one.manifest, one.draw, rules.chain_id)
    keys = {verdict.validator_key for verdict in one.verdicts}
    if len(keys) != len(one.verdicts):
        raise StatementInvalid("a validator's verdict stands twice", field="verdicts")
    for verdict in one.verdicts:
        check_verdict(verdict, one.draw, one.result, rules.chain_id)


def _check_own_draw(draw: Draw, task: Epoch, rules: JudgeRules) -> None:
    """This market signed it for this epoch; it never signs what it does not store."""
    if task.draw is None:
        raise Conflict("the task has no draw")
    if draw == task.draw:
        return
    check_draw(draw, rules.chain_id, (rules.market,))
    if (draw.task_id, draw.epoch) != (task.task_id, task.epoch):
        raise StatementInvalid("the draw is of another task or epoch: superseded", field="draw")
