"""`tmnode wallet bond` and `unbond`: what you stake on the results that you compute or check."""

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from node.api import answers
from node.cli.deposits import hand_in, own_keys, passphrase_option
from node.cli.options import api_option, data_dir_option, json_option
from node.cli.output import moment, pairs, print_answer
from node.client import AnswerLost, Client
from node.errors import InvalidInput

if TYPE_CHECKING:
    from node.keys import NodeKeys
    from node.l1.transactions import Draft

_key_option = click.option(
    "--idempotency-key",
    metavar="KEY",
    help="The same key is the same change again, where the market holds the bonds.",
)
_l1_option = click.option(
    "--l1", metavar="URL", help="A node of the chain, where that holds the bonds."
)


@click.command()
@click.argument("amount")
@_key_option
@_l1_option
@data_dir_option
@passphrase_option
@api_option
@json_option
def bond(
    amount: str,
    idempotency_key: str | None,
    l1: str | None,
    data_dir: Path,
    passphrase_file: Path | None,
    api: str | None,
    as_json: bool,
) -> None:
    """Stake AMOUNT CPC at a market on your results.

    It comes from your free balance there; or, where the chain holds the money, from the account
    whose key is in the data directory, by BOND, for the node with that key. A part of it is lost if
    a result that you computed, or found valid, is overturned. What a bond buys is the network's: a
    validator may need one to be drawn, a worker to be paid sooner.
    """
    from node.keys import bind
    from node.l1.escrow import bond as staked

    with Client(api) as client:
        if l1 is None:
            _change(client.bond, amount, idempotency_key, as_json=as_json)
            return
        market, chain_id = _market(client), client.status().chain_id

    def draft(keys: "NodeKeys", units: int) -> "Draft":
        return staked(market, units, bind(keys.identity, keys.account, chain_id))

    note = "counts once a block holds it"
    _send(amount, market, data_dir, passphrase_file, l1, draft, note, as_json=as_json)


@click.command()
@click.argument("amount")
@_key_option
@_l1_option
@data_dir_option
@passphrase_option
@api_option
@json_option
def unbond(
    amount: str,
    idempotency_key: str | None,
    l1: str | None,
    data_dir: Path,
    passphrase_file: Path | None,
    api: str | None,
    as_json: bool,
) -> None:
    """Take AMOUNT CPC of your bond back: yours again, by itself, after the unbonding time.

    Until then it can still be lost. Where the market holds it, taking back more starts the time
    anew for all of it; where the chain does, by UNBOND, each part has its own.
    """
    from node.l1.escrow import unbond as taken

    with Client(api) as client:
        if l1 is None:
            _change(client.unbond, amount, idempotency_key, as_json=as_json)
            return
        market = _market(client)

    def draft(_keys: "NodeKeys", units: int) -> "Draft":
        return taken(market, units)

    note = "in your balance after the chain's unbonding time"
    _send(amount, market, data_dir, passphrase_file, l1, draft, note, as_json=as_json)


def _market(client: Client) -> str:
    """The address at which the chain holds bonds; raises InvalidInput where the market does."""
    account = client.account()
    if account.deposit_by != "DEPOSIT":
        problem = "is not needed: this market holds the bonds"
        raise InvalidInput(problem, field="--l1", remedy="leave it out")
    return account.deposit_address


def _send(
    amount: str,
    market: str,
    data_dir: Path,
    passphrase_file: Path | None,
    l1: str,
    draft: Callable[["NodeKeys", int], "Draft"],
    note: str,
    *,
    as_json: bool,
) -> None:
    from node.amounts import parse_cpc

    units = int(parse_cpc(amount))
    keys = own_keys(data_dir, passphrase_file)
    hand_in(l1, keys.account, draft(keys, units), market, units, note, as_json=as_json)


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
