"""`tmnode wallet`: what an account has at a market, what moved it, money out, and API keys."""

import csv
import io
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import click
import msgspec

from node.api.params import MAX_PAGE
from node.cli.arguments import DURATION
from node.cli.lazy import Entry, LazyGroup
from node.cli.options import PATH, api_option, data_dir_option, json_option
from node.cli.output import moment, pairs, print_answer, table
from node.cli.secrets import passphrase_for
from node.client import AnswerLost, Client

if TYPE_CHECKING:
    from node.api import answers

ALL = "all"
NOTHING = "0.0"


class WalletGroup(LazyGroup):
    """The table of the group; without a name of it, `show` is meant."""

    entries: ClassVar = {
        "show": Entry("node.cli.wallet:show", "Show an account, by default your own."),
        "statement": Entry("node.cli.wallet:statement", "Show what moved your money."),
        "withdraw": Entry("node.cli.wallet:withdraw", "Take money out, to your own address."),
        "deposit": Entry("node.cli.deposits:deposit", "Pay in at a market, from your account."),
        "repay": Entry("node.cli.repay:repay", "Pay back what you owe a market's operator."),
        "reclaim": Entry(
            "node.cli.deposits:reclaim", "Take a deposit out by the chain, without the market."
        ),
        "refund": Entry(
            "node.cli.refund:refund", "Have a late task's reward given back by the chain."
        ),
        "payout": Entry("node.cli.payout:payout", "Say when your work is paid, or have it paid."),
        "bond": Entry("node.cli.bonds:bond", "Stake money on your results."),
        "unbond": Entry("node.cli.bonds:unbond", "Take back what you stake."),
        "key": Entry("node.cli.wallet:key", "Make an API key for your account."),
        "credit": Entry("node.cli.credit:credit", "Let customers of your market owe for tasks."),
        "unclaimed": Entry("node.cli.unclaimed:unclaimed", "Give away what is nobody's."),
        "fees": Entry("node.cli.fees:fees", "Give money for your market's fees on the chain."),
        "audit": Entry("node.cli.audit:audit", "Recompute your market's books."),
        "audit-market": Entry(
            "node.cli.audit_market:audit_market", "Check what a market paid and burned."
        ),
    }

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """`tmnode wallet`, and `tmnode wallet cpc1…`, are `tmnode wallet show …`."""
        if not args or (args[0] not in self.entries and args[0] not in ctx.help_option_names):
            args = ["show", *args]
        return super().parse_args(ctx, args)


@click.group(cls=WalletGroup)
def wallet() -> None:
    """Your money at a market: what is there, what moved it, and the way out.

    `tmnode wallet [ADDRESS]` is short for `tmnode wallet show [ADDRESS]`.
    """


@click.command()
@click.argument("address", required=False)
@api_option
@json_option
def show(address: str | None, api: str | None, as_json: bool) -> None:
    """Show an account at a market, by default your own."""
    with Client(api) as client:
        answer = client.account(address)
    text = pairs(
        {
            "account": answer.address,
            "available": f"{answer.available_cpc} CPC",
            "reserved": f"{answer.reserved_cpc} CPC",
            "earned": f"{answer.earned_cpc} CPC",
            **credit_lines(answer),
            **({"backed by": answer.credit_backer} if answer.credit_backer else {}),
            "bonded": f"{answer.bonded_cpc} CPC",
            "unbonding": f"{answer.unbonding_cpc} CPC",
            "deposit to": f"{answer.deposit_address} by {answer.deposit_by}",
        }
    )
    print_answer(answer, text, as_json=as_json)


@click.command()
@click.option("--csv", "as_csv", is_flag=True, help="Comma-separated values, for a spreadsheet.")
@api_option
@json_option
def statement(as_csv: bool, api: str | None, as_json: bool) -> None:
    """Show what moved your money at a market, oldest first, with the balance after each line.

    Money that you have as a customer, as a worker, as a validator, as a bond and as one that you
    took back has a balance each.
    """
    with Client(api) as client:
        pages = list(_pages(client))
    lines, last = list(_lines(pages)), pages[-1]
    if as_csv:
        click.echo(_csv(lines), nl=False)
    else:
        rows = (
            (moment(one.at), one.account, one.kind, one.amount_cpc, one.balance_cpc, one.about)
            for one in lines
        )
        now = {"credit_limit_cpc": last.credit_limit_cpc, "owed_cpc": last.owed_cpc}
        parts = table(_COLUMNS, rows), pairs(credit_lines(last))
        print_answer({"lines": lines, **now}, "\n".join(filter(None, parts)), as_json=as_json)


_COLUMNS = ("time", "as", "what", "amount CPC", "balance CPC", "about")


class _Line(msgspec.Struct, frozen=True):
    """A line of the statement with the balance after it."""

    number: int
    at: float
    account: str
    kind: str
    about: str
    amount_cpc: str
    balance_cpc: str


def credit_lines(answer: "answers.AccountAnswer | answers.StatementAnswer") -> dict[str, str]:
    """What may be owed and what is; nothing for an account that has no credit."""
    limit, owed = answer.credit_limit_cpc, answer.owed_cpc
    if {limit, owed} == {NOTHING}:
        return {}
    return {"credit limit": f"{limit} CPC", "owed": f"{owed} CPC"}


def _pages(client: Client) -> Iterator["answers.StatementAnswer"]:
    """The whole statement, at least one page."""
    start: int | None = 0
    while start is not None:
        page = client.statement(start=start, limit=MAX_PAGE)
        yield page
        start = page.next


def _lines(pages: list["answers.StatementAnswer"]) -> Iterator[_Line]:
    from node.amounts import format_cpc, parse_signed_cpc

    balances: dict[str, int] = {}
    for one in (line for page in pages for line in page.lines):
        amount = parse_signed_cpc(one.amount_cpc)
        balances[one.account] = balances.get(one.account, 0) + amount
        balance = format_cpc(balances[one.account])
        yield _Line(**msgspec.structs.asdict(one), balance_cpc=balance)


def _csv(lines: list[_Line]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_Line.__struct_fields__)
    writer.writerows(msgspec.structs.astuple(one) for one in lines)
    return out.getvalue()


@click.command()
@click.argument("amount")
@click.option("--idempotency-key", metavar="KEY", help="The same key is the same withdrawal again.")
@click.option("--wait", "wait_s", type=DURATION, help="Longest wait until it is in a block.")
@api_option
@json_option
def withdraw(
    amount: str, idempotency_key: str | None, wait_s: float | None, api: str | None, as_json: bool
) -> None:
    """Take AMOUNT CPC out of a market, or `all`, to the account's own address on the chain.

    The chain's fee comes on top. Run again with the key it prints, it shows how far it is.
    """
    key = idempotency_key or str(uuid.uuid4())
    with Client(api) as client:
        answer = _withdrawn(client, _amount(client, amount), key, wait_s or 0.0)
    about = {
        "to": answer.address,
        "amount": f"{answer.amount_cpc} CPC",
        "fee": f"{answer.fee_cpc} CPC",
        "status": answer.status,
        "transaction": answer.tx_hash,
        "block": answer.height,
        "key": key,
    }
    shown = {**msgspec.structs.asdict(answer), "idempotency_key": key}
    print_answer(shown, pairs(about), as_json=as_json)


def _amount(client: Client, amount: str) -> str:
    if amount != ALL:
        return amount
    from node.amounts import format_cpc, parse_cpc

    found = client.account()
    fee = parse_cpc(found.withdrawal_fee_cpc or "0")
    return format_cpc(max(0, parse_cpc(found.available_cpc) - fee))


def _withdrawn(client: Client, amount: str, key: str, wait_s: float) -> "answers.WithdrawalAnswer":
    try:
        return client.withdraw(amount, idempotency_key=key, wait_s=wait_s)
    except AnswerLost as error:
        remedy = f"repeat it with --idempotency-key {key}, then nothing is paid twice"
        raise AnswerLost(error.message, field=error.field, remedy=remedy) from error


@click.command()
@data_dir_option
@click.option("--spend-limit", metavar="CPC", help="The most that the key may ever spend.")
@click.option("--passphrase-file", type=PATH, help="File whose first line is the passphrase.")
@api_option
@json_option
def key(
    data_dir: Path,
    spend_limit: str | None,
    passphrase_file: Path | None,
    api: str | None,
    as_json: bool,
) -> None:
    """Make an API key for the account whose key is in the data directory.

    The key is shown this once. Put it into TMNODE_API_KEY, or send it as `Authorization: Bearer`.
    """
    from node.keys import load_keys

    keys = load_keys(data_dir, passphrase_for(data_dir, passphrase_file))
    with Client(api) as client:
        answer = client.create_key(keys.account, client.status().chain_id, spend_limit)
    about = {"key": answer.key, "account": answer.address, "spend limit": answer.spend_limit}
    print_answer(answer, pairs(about), as_json=as_json)
