"""`tmnode wallet credit`: what customers of your market may owe."""

from pathlib import Path

import click

from node.cli.options import data_dir_option, json_option
from node.cli.output import print_answer, table
from node.control import ask_credit


@click.command()
@click.argument("address", required=False)
@click.argument("limit", required=False)
@click.option("--write-off", is_flag=True, help="Pay what is owed for good from what backs it.")
@data_dir_option
@json_option
def credit(
    address: str | None, limit: str | None, write_off: bool, data_dir: Path, as_json: bool
) -> None:
    """Let a customer of your market owe up to LIMIT CPC for tasks; 0 takes the credit away.

    For the market's own machine: the node must run, and only who may open its data directory can do
    this. As much is set aside from the account that `operator` in the node file names: it is that
    account's risk. Without arguments, shows whom you gave credit.
    Customers pay back by `tmnode wallet repay`.
    """
    if (address is None) != (limit is None):
        raise click.UsageError("give both ADDRESS and LIMIT, or neither")
    found = ask_credit(data_dir, address, limit or "0", write_off=write_off)
    head = ("customer", "limit CPC", "owed CPC", "backed by")
    rows = ((one.address, one.limit_cpc, one.owed_cpc, one.backer) for one in found)
    print_answer({"credit": found}, table(head, rows), as_json=as_json)
