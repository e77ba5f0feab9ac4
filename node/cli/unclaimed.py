"""`tmnode wallet unclaimed`: money at your market that belongs to no account."""

from pathlib import Path

import click

from node.cli.options import data_dir_option, json_option
from node.cli.output import moment, print_answer, table
from node.control import ask_unclaimed


@click.command()
@click.argument("number", type=int, required=False)
@click.argument("address", required=False)
@data_dir_option
@json_option
def unclaimed(number: int | None, address: str | None, data_dir: Path, as_json: bool) -> None:
    """Give what the ledger's entry NUMBER left unclaimed to the customer ADDRESS, once.

    For the market's own machine: the node must run. Without arguments, shows what there is:
    deposits by no account of this network, and payments that the chain lost.
    """
    if (number is None) != (address is None):
        raise click.UsageError("give both NUMBER and ADDRESS, or neither")
    found = ask_unclaimed(data_dir, number, address or "")
    head = ("number", "time", "amount CPC", "cause")
    rows = ((one.number, moment(one.at_ms / 1000), one.amount_cpc, one.cause) for one in found)
    print_answer({"unclaimed": found}, table(head, rows), as_json=as_json)
