"""Tasks as people read and follow them."""

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click
import msgspec

from node.api import answers
from node.cli.arguments import DURATION
from node.cli.output import moment, pairs, table
from node.client import GOALS, Client

_F = TypeVar("_F", bound=Callable[..., Any])


def task_text(task: answers.TaskAnswer) -> str:
    """A task, its error or its result."""
    about: dict[str, object] = {
        "task": task.task_id,
        "kind": task.challenge_type,
        "status": task.status,
        "phase": task.phase,
        "reward": f"{task.reward} CPC",
        "created": moment(task.created_at),
        "deadline": moment(task.deadline),
        "payload": msgspec.json.encode(task.payload).decode(),
    }
    if not isinstance(task.error, msgspec.UnsetType):
        about["error"] = f"{task.error.code}: {task.error.message}"
    if task.result is not None:
        about |= _result(task.result)
    if not isinstance(task.appeal, msgspec.UnsetType):
        about |= _appeal(task.appeal)
    return pairs(about)


def _appeal(appeal: answers.AppealAnswer) -> dict[str, object]:
    heard = f"{appeal.rulings} of {len(appeal.jury)} jurors, until {moment(appeal.deadline)}"
    passed = [f"{one.peer_id} ({one.reason})" for one in appeal.passed]
    return {
        "appeal": f"{appeal.reason} (fee {appeal.fee_cpc} CPC)",
        "ruling": heard if appeal.outcome is None else appeal.outcome,
        "jury": list(appeal.jury),
        **({"passed over": passed} if passed else {}),
    }


def _result(result: answers.ResultAnswer) -> dict[str, object]:
    return {
        "completed": moment(result.completed_at),
        "pay is due": moment(result.pay_due_at),
        **({"appeal fee": f"{result.appeal_fee_cpc} CPC"} if result.appeal_fee_cpc else {}),
        "result hash": result.result_hash,
        "workers": [worker.address for worker in result.workers] or [result.worker_address],
        "validators": list(result.validators),
        **{
            f"output {file.name}": f"{file.size} bytes, sha256 {file.sha256}"
            for file in result.artifacts
        },
        **{f"proof {one.job}": _proof(one) for one in result.proofs},
    }


def _proof(proof: answers.ProofAnswer) -> str:
    place = "in the receipt" if proof.sha256 is None else f"sha256 {proof.sha256}"
    return f"{proof.system}, {proof.size} bytes, {place}"


def tasks_text(page: answers.ListAnswer) -> str:
    """A page of tasks."""
    head = ("task", "kind", "status", "phase", "reward (CPC)", "created")
    rows = (
        (t.task_id, t.challenge_type, t.status, t.phase, t.reward, moment(t.created_at))
        for t in page.tasks
    )
    more = "" if page.cursor is None else f"; more with --cursor {page.cursor}"
    place = f", from {page.offset}" if page.offset else ""
    return f"{table(head, rows)}\n{len(page.tasks)} of {page.total}{place}{more}"


def follow(client: Client, task_id: str, *, until: str, timeout_s: float) -> answers.TaskAnswer:
    """The task when it has come far enough; a terminal sees every phase on the way."""
    on_terminal = sys.stderr.isatty()
    for task in client.follow(task_id, until=until, timeout_s=timeout_s):
        if on_terminal:
            click.echo(f"{task.task_id}  {task.status}  {task.phase}", err=True)
    return task  # following shows a task at least once


def waiting_options(command: _F) -> _F:
    """`--until` and `--timeout`: how far a task must come, and how long to wait for it."""
    for option in (
        click.option(
            "--timeout",
            type=DURATION,
            default="1h",
            show_default=True,
            help="Longest wait, e.g. 90s or 15m.",
        ),
        click.option(
            "--until",
            type=click.Choice(GOALS),
            default=GOALS[0],
            show_default=True,
            help="How far the task must have come.",
        ),
    ):
        command = option(command)
    return command
