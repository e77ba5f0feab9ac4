"""`tmnode wallet fees`: money for the chain's fees of your market."""

import uuid
from pathlib import Path

import click

from node.cli.options import data_dir_option, json_option
from node.cli.output import pairs, print_answer
from node.control import ask_fees


@click.command()
@click.argument("amount", required=False)
@click.option("--idempotency-key", metavar="KEY", help="The same key gives nothing a second time.")
@data_dir_option
@json_option
def fees(amount: str | None, idempotency_key: str | None, data_dir: Path, as_json: bool) -> None:
    """Give AMOUNT CPC of the operator's account for the chain's fees; without it, show them.

    For the market's own machine: the node must run. The operator's account is the one that
    `operator` in the node file names.
    """
    key = idempotency_key or str(uuid.uuid4())
    held = ask_fees(data_dir, amount or "0", key)
    answer = {"fees_cpc": held, "idempotency_key": key}
    print_answer(answer, pairs({"fees": f"{held} CPC", "key": key}), as_json=as_json)
