"""`tmnode task show`, `list`, `wait`, `cancel`, `appeal` and `receipt`."""

from pathlib import Path

import click

from node.api.params import KINDS, MAX_PAGE, STATUSES
from node.cli.options import PATH, api_option, json_option
from node.cli.output import pairs, print_answer
from node.cli.shown import follow, task_text, tasks_text, waiting_options
from node.client import Client

_task_id = click.argument("task_id")


@click.command()
@_task_id
@api_option
@json_option
def show(task_id: str, api: str | None, as_json: bool) -> None:
    """Show a task and, once it is completed, its result."""
    with Client(api) as client:
        answer = client.task(task_id)
    print_answer(answer, task_text(answer), as_json=as_json)


@click.command()
@click.option("--status", type=click.Choice(STATUSES), help="Only tasks of this status.")
@click.option("--kind", type=click.Choice(KINDS), help="Only tasks of this kind.")
@click.option(
    "--limit", type=click.IntRange(1, MAX_PAGE), default=20, show_default=True, help="How many."
)
@click.option("--offset", type=click.IntRange(0), default=0, help="How many to skip.")
@click.option("--cursor", help="Go on after an earlier page, whatever has happened meanwhile.")
@api_option
@json_option
def list_tasks(
    status: str | None,
    kind: str | None,
    limit: int,
    offset: int,
    cursor: str | None,
    api: str | None,
    as_json: bool,
) -> None:
    """List tasks, newest first."""
    with Client(api) as client:
        answer = client.tasks(
            status=status, challenge_type=kind, limit=limit, offset=offset, cursor=cursor
        )
    print_answer(answer, tasks_text(answer), as_json=as_json)


@click.command()
@_task_id
@waiting_options
@api_option
@json_option
def wait(task_id: str, until: str, timeout: float, api: str | None, as_json: bool) -> None:
    """Wait until a task has come far enough; fails if the task fails."""
    with Client(api) as client:
        answer = follow(client, task_id, until=until, timeout_s=timeout)
    print_answer(answer, task_text(answer), as_json=as_json)


@click.command()
@_task_id
@api_option
@json_option
def cancel(task_id: str, api: str | None, as_json: bool) -> None:
    """Cancel a task that is not finished; the reward comes back."""
    with Client(api) as client:
        answer = client.cancel(task_id)
    print_answer(answer, task_text(answer), as_json=as_json)


@click.command()
@_task_id
@click.option("--reason", default="the result is wrong", help="What is wrong, in a line.")
@api_option
@json_option
def appeal(task_id: str, reason: str, api: str | None, as_json: bool) -> None:
    """Dispute the result of your task.

    It takes a fee, the `appeal_fee_cpc` of the task's result, and has to be done before the pay is
    due. A jury computes the task again. If something else comes out, you have reward and fee back;
    if the same, the fee is gone; if nobody can say in time, it comes back. Where the chain holds
    the money there are no appeals.
    """
    with Client(api) as client:
        answer = client.appeal(task_id, reason)
    print_answer(answer, task_text(answer), as_json=as_json)


@click.command()
@_task_id
@click.option("--out", type=PATH, help="File to write; by default the receipt is printed.")
@api_option
@json_option
def receipt(task_id: str, out: Path | None, api: str | None, as_json: bool) -> None:
    """Get the receipt of an anchored task, byte for byte; it is a JSON object itself.

    `tmnode receipt verify` checks it without asking anybody.
    """
    with Client(api) as client:
        content = client.receipt(task_id)
    if out is None:
        click.echo(content, nl=False)
        return
    out.write_bytes(content)
    about = {"file": str(out), "size_bytes": len(content)}
    print_answer(about, pairs(about), as_json=as_json)
