"""`tmnode wallet payout`: when a market pays you for your work."""

import click

from node.cli.options import api_option, json_option
from node.cli.output import moment, pairs, print_answer
from node.client import Client

DEFAULT = "default"


@click.command()
@click.option("--threshold", metavar="CPC", help="Pay at this sum; `default` for the network's.")
@click.option("--now", is_flag=True, help="Pay what is owed at once, less the chain's fee.")
@api_option
@json_option
def payout(threshold: str | None, now: bool, api: str | None, as_json: bool) -> None:
    """Show what you have earned as a worker or validator, and when the market pays it.

    Needs an API key of your account: `tmnode wallet key --data-dir …` with the node's own keys.
    """
    wanted = "0" if threshold == DEFAULT else threshold
    with Client(api) as client:
        answer = client.pay_terms(threshold=wanted, now=now)
    own = answer.threshold_cpc
    on_the_way = [f"{one.amount_cpc} CPC by {one.tx_hash}" for one in answer.on_the_way]
    about = {
        "account": answer.address,
        "owed": f"{answer.owed_cpc} CPC",
        "paid at": "what the network says" if own is None else f"{own} CPC",
        "at the latest": None if answer.pay_by is None else moment(answer.pay_by),
        "on the way": on_the_way or None,
        "fee if paid now": f"{answer.fee_cpc} CPC",
        "threshold": f"{answer.least_threshold_cpc} to {answer.most_threshold_cpc} CPC",
    }
    print_answer(answer, pairs(about), as_json=as_json)
