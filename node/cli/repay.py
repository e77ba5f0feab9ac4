"""`tmnode wallet repay`: what was bought on credit is paid back, by the chain."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from node.cli.deposits import account_key, hand_in, l1_option, passphrase_option
from node.cli.options import api_option, data_dir_option, json_option
from node.client import Client
from node.errors import Conflict, InvalidInput

if TYPE_CHECKING:
    from node.api import answers
    from node.l1.transactions import Draft

ALL = "all"


@click.command()
@click.argument("amount")
@l1_option
@data_dir_option
@passphrase_option
@api_option
@json_option
def repay(
    amount: str,
    l1: str,
    data_dir: Path,
    passphrase_file: Path | None,
    api: str | None,
    as_json: bool,
) -> None:
    """Pay AMOUNT CPC of what you owe for tasks back, or `all` of it, from the account whose key is
    in the data directory.

    Where the chain holds the money this is a DEPOSIT for the account that backs your credit, else
    a TRANSFER to the market. You can buy with it again once a block holds it. What you pay back
    for a task that is still open, and that is then refunded, stays there for you to buy with.
    """
    key = account_key(data_dir, passphrase_file)
    with Client(api) as client:
        account = client.account(key.address)
    units = _units(amount, account)
    draft, market, owner = _pay_back(account, units), account.deposit_address, account.credit_backer
    note = "paid back once a block holds it"
    hand_in(l1, key, draft, market, units, note, owner=owner, as_json=as_json)


def _units(amount: str, account: "answers.AccountAnswer") -> int:
    """What is to be paid; raises Conflict if nothing is owed, InvalidInput for more than that."""
    from node.amounts import parse_cpc

    owed = int(parse_cpc(account.owed_cpc))
    if not owed:
        raise Conflict(f"{account.address} owes nothing at this market")
    units = owed if amount == ALL else int(parse_cpc(amount))
    if units > owed:
        raise InvalidInput(
            f"is more than is owed, {account.owed_cpc} CPC",
            field="amount",
            remedy=f"`{ALL}` pays that; the rest would be somebody else's",
        )
    return units


def _pay_back(account: "answers.AccountAnswer", units: int) -> "Draft":
    from node.l1.escrow import deposit
    from node.l1.transactions import transfer

    market = account.deposit_address
    if account.deposit_by == "DEPOSIT":
        return deposit(market, units, customer=account.credit_backer)
    return transfer(market, units)
