"""`tmnode wallet bond` and `unbond`: what you stake on the results that you compute or check."""

import uuid
from collections.abc import Callable

import click
import msgspec

from node.api import answers
from node.cli.options import api_option, json_option
from node.cli.output import moment, pairs, print_answer
from node.client import AnswerLost, Client

_key_option = click.option(
    "--idempotency-key", metavar="KEY", help="The same key is the same change again."
)


@click.command()
@click.argument("amount")
@_key_option
@api_option
@json_option
def bond(amount: str, idempotency_key: str | None, api: str | None, as_json: bool) -> None:
    """Stake AMOUNT CPC of your free balance at a market on your results.

    A part of it is lost if a result that you computed, or found valid, is overturned. What a bond
    buys is the network's: a validator may need one to be drawn, a worker to be paid sooner.
    """
    with Client(api) as client:
        _change(client.bond, amount, idempotency_key, as_json=as_json)


@click.command()
@click.argument("amount")
@_key_option
@api_option
@json_option
def unbond(amount: str, idempotency_key: str | None, api: str | None, as_json: bool) -> None:
    """Take AMOUNT CPC of your bond back: free again, by itself, after the unbonding time.

    Until then it can still be lost. Taking back more starts the time anew for all of it.
    """
    with Client(api) as client:
        _change(client.unbond, amount, idempotency_key, as_json=as_json)


def _change(
    change: Callable[..., answers.BondAnswer], amount: str, given: str | None, *, as_json: bool
) -> None:
    key = given or str(uuid.uuid4())
    try:
        answer = change(amount, idempotency_key=key)
    except AnswerLost as error:
        remedy = f"repeat it with --idempotency-key {key}, then nothing is moved twice"
        raise AnswerLost(error.message, field=error.field, remedy=remedy) from error
    about = {
        "account": answer.address,
        "bonded": f"{answer.bonded_cpc} CPC",
        "unbonding": f"{answer.unbonding_cpc} CPC",
        "free again": None if answer.release_at is None else moment(answer.release_at),
        "key": key,
    }
    shown = {**msgspec.structs.asdict(answer), "idempotency_key": key}
    print_answer(shown, pairs(about), as_json=as_json)
