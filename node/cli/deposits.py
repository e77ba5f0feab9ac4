"""`tmnode wallet deposit` and `reclaim`: a customer's own transactions at the chain."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click
import msgspec

from node.cli.options import PATH, api_option, data_dir_option, json_option
from node.cli.output import pairs, print_answer
from node.cli.secrets import passphrase_for
from node.client import Client
from node.errors import Conflict, InvalidInput

if TYPE_CHECKING:
    from node.keys import NodeKeys
    from node.l1.client import HttpL1Client
    from node.l1.keys import AccountKey
    from node.l1.transactions import Draft

T = TypeVar("T")

l1_option = click.option("--l1", metavar="URL", required=True, help="A node of the chain.")
passphrase_option = click.option(
    "--passphrase-file", type=PATH, help="File whose first line is the passphrase."
)


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """What was handed in."""

    transaction: str
    kind: str
    market: str
    address: str
    """Whose money it is."""
    amount_cpc: str
    note: str


@click.command()
@click.argument("amount")
@l1_option
@data_dir_option
@passphrase_option
@api_option
@json_option
def deposit(
    amount: str,
    l1: str,
    data_dir: Path,
    passphrase_file: Path | None,
    api: str | None,
    as_json: bool,
) -> None:
    """Pay AMOUNT CPC in at a market, from the account whose key is in the data directory.

    By DEPOSIT where the chain holds the money, else by TRANSFER to the market. It is credited once
    a block holds it.
    """
    from node.amounts import parse_cpc
    from node.l1.escrow import deposit as held
    from node.l1.transactions import transfer

    units = int(parse_cpc(amount))
    with Client(api) as client:
        account = client.account()
    pay_in = held if account.deposit_by == "DEPOSIT" else transfer
    market, note = account.deposit_address, "credited once a block holds it"
    key = account_key(data_dir, passphrase_file)
    hand_in(l1, key, pay_in(market, units), market, units, note, as_json=as_json)


@click.command()
@click.argument("market")
@l1_option
@data_dir_option
@passphrase_option
@json_option
def reclaim(
    market: str, l1: str, data_dir: Path, passphrase_file: Path | None, as_json: bool
) -> None:
    """Take what the chain holds at MARKET, its address, out without the market's help.

    The first time this gives notice, and the market sells you nothing more. Run again when the
    notice is over it pays all that is left; what is in the escrows of open tasks comes later.
    """
    import trio

    from node.l1.escrow import withdraw_all

    key = account_key(data_dir, passphrase_file)

    async def look(chain: "HttpL1Client") -> tuple[int, int | None, int]:
        view = await chain.deposit(market, key.address)
        return view.amount, view.free_height, (await chain.status()).height

    units, free, height = trio.run(with_chain, l1, look)
    if free is not None and height + 1 < free:
        raise Conflict(f"the notice runs until block {free}, now is {height}", field="market")
    note = "all that is left is paid" if free is not None else "notice given: run it again later"
    hand_in(l1, key, withdraw_all(market), market, units, note, as_json=as_json)


def account_key(data_dir: Path, passphrase_file: Path | None) -> "AccountKey":
    """The account whose key is in the data directory."""
    return own_keys(data_dir, passphrase_file).account


def own_keys(data_dir: Path, passphrase_file: Path | None) -> "NodeKeys":
    """Both keys in the data directory."""
    from node.keys import load_keys

    return load_keys(data_dir, passphrase_for(data_dir, passphrase_file))


def hand_in(
    l1: str,
    key: "AccountKey",
    draft: "Draft",
    market: str,
    units: int,
    note: str,
    *,
    owner: str = "",
    as_json: bool,
) -> None:
    """Sign, hand in and show a transaction about `units` at a market; they are the `owner`'s, by
    default the signer's. Raises InvalidInput with the chain's own words."""
    from node.amounts import format_cpc

    sent = Sent(
        transaction=_sent(l1, key, draft),
        kind=draft.tx_type,
        market=market,
        address=owner or key.address,
        amount_cpc=format_cpc(units),
        note=note,
    )
    print_answer(sent, _text(sent), as_json=as_json)


def _sent(l1: str, key: "AccountKey", draft: "Draft") -> str:
    import trio

    from node.l1.transactions import tx_hash

    async def send(chain: "HttpL1Client") -> str:
        nonce = await chain.nonce(key.address, pending=True)
        tx = draft.signed(key, nonce)
        outcome = await chain.send(tx)
        if outcome.status == "rejected":
            raise InvalidInput(f"the chain refuses: {outcome.reason}")
        return tx_hash(tx)

    return trio.run(with_chain, l1, send)


async def with_chain(url: str, ask: "Callable[[HttpL1Client], Awaitable[T]]") -> T:
    """Ask a node of the chain."""
    from node.l1.client import open_l1_client

    async with open_l1_client(url) as chain:
        return await ask(chain)


def _text(sent: Sent) -> str:
    return pairs(
        {
            "transaction": sent.transaction,
            "type": sent.kind,
            "market": sent.market,
            "account": sent.address,
            "amount": f"{sent.amount_cpc} CPC",
            "": sent.note,
        }
    )
