"""`tmnode task quote` and `tmnode task submit`."""

import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click
import msgspec

from node.api import answers
from node.api.params import KINDS
from node.cli.arguments import DURATION, read_payload
from node.cli.options import api_option, json_option
from node.cli.output import pairs, print_answer
from node.cli.shown import follow, task_text, waiting_options
from node.client import AnswerLost, Client

_F = TypeVar("_F", bound=Callable[..., Any])


def _work(command: _F) -> _F:
    for option in (
        click.option("--payload", help="A JSON object, @FILE, or - for the standard input."),
        click.argument("fields", nargs=-1, metavar="[KEY=VALUE]..."),
        click.argument("kind", type=click.Choice(KINDS), metavar="KIND"),
    ):
        command = option(command)
    return command


@click.command()
@_work
@api_option
@json_option
def quote(
    kind: str, fields: Sequence[str], payload: str | None, api: str | None, as_json: bool
) -> None:
    """Ask what a piece of work costs, without buying it.

    KIND is inference, training, rendering or synthetic; the payload is given as for `submit`.
    """
    work = read_payload(fields, payload)
    with Client(api) as client:
        answer = client.quote(kind, work)
    print_answer(answer, pairs(msgspec.structs.asdict(answer)), as_json=as_json)


@click.command()
@_work
@click.option("--reward", metavar="CPC", help="What you pay; the quoted price by default.")
@click.option("--deadline", type=DURATION, help="Time until the reward comes back, e.g. 15m.")
@click.option("--idempotency-key", metavar="KEY", help="The same key gives the same task again.")
@click.option("--wait", "waits", is_flag=True, help="Wait for the task, see --until.")
@waiting_options
@api_option
@json_option
def submit(
    kind: str,
    fields: Sequence[str],
    payload: str | None,
    idempotency_key: str | None,
    waits: bool,
    until: str,
    timeout: float,
    api: str | None,
    as_json: bool,
    **terms: Any,
) -> None:
    """Buy a piece of work.

    KIND is inference, training, rendering or synthetic. The payload is given field by field, e.g.
    `tmnode task submit synthetic seed=hello matrix_size=256 iterations=16`: a value that reads as
    JSON is JSON, anything else is a text. Without --reward the quoted price is paid. With
    `proof=true` the result has a proof that anybody can verify, as large ones have anyway.
    """
    work = read_payload(fields, payload)
    with Client(api) as client:
        taken = _buy(client, kind, work, idempotency_key or str(uuid.uuid4()), **terms)
        if not waits:
            answer: object = taken
            text = pairs({"task": taken.task_id, "status": taken.status})
        else:
            answer = follow(client, taken.task_id, until=until, timeout_s=timeout)
            text = task_text(answer)
    print_answer(answer, text, as_json=as_json)


def _buy(
    client: Client,
    kind: str,
    work: dict[str, Any],
    key: str,
    *,
    reward: str | None,
    deadline: float | None,
) -> answers.SubmitAnswer:
    if reward is None:
        reward = client.quote(kind, work).price_cpc
    latest = int(time.time() + deadline) if deadline is not None else None
    try:
        return client.submit(kind, work, reward, deadline=latest, idempotency_key=key)
    except AnswerLost as error:
        remedy = f"repeat it with --idempotency-key {key}, then nothing is bought twice"
        raise AnswerLost(error.message, field=error.field, remedy=remedy) from error
