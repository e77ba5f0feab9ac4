"""`tmnode wallet audit-market`: whether a market, anybody's, paid and burned as it should."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from node.cli.failures import FAILED
from node.cli.options import PATH, api_option, json_option
from node.cli.output import found_text, print_answer
from node.client import Client
from node.config import load_network
from node.errors import NotFound

if TYPE_CHECKING:
    from node.api.answers import PayoutAnswer
    from node.l1.transactions import Transaction
    from node.settlement.public_audit import PublicReport, Shown


class MarketAudit(msgspec.Struct, frozen=True, kw_only=True):
    """What an audit from outside found; `findings` are sentences, and none if all is well."""

    market: str
    """Its address on the chain."""
    payouts: int
    tasks: int
    rewards_cpc: str
    burned_cpc: str
    to_burn_cpc: str
    """The burn's part of the rewards; what was not burned yet waits for its payout."""
    findings: tuple[str, ...]


@click.command("audit-market")
@click.argument("receipts", nargs=-1, type=PATH)
@click.option("--l1", metavar="URL", required=True, help="A node of the chain that you trust.")
@click.option("--network", type=PATH, help="Network file with the shares.")
@click.option("--from-height", type=click.IntRange(0), default=0, help="First block to read.")
@api_option
@json_option
@click.pass_context
def audit_market(
    ctx: click.Context,
    receipts: tuple[Path, ...],
    l1: str,
    network: Path | None,
    from_height: int,
    api: str | None,
    as_json: bool,
) -> None:
    """Check a market's payouts on the chain against the entries that it shows for them.

    Every TRANSFER of the market's must pay exactly the ledger entries under its root, none twice,
    and every reward among them must be divided, and burned, by the network's shares. With RECEIPTS
    each of their tasks has to be among them. Exit code 1 if anything does not hold.
    """
    from node.settlement.network import settlement_parameters
    from node.settlement.public_audit import PublicAudit

    config = load_network(network)
    checking = PublicAudit(settlement_parameters(config), config.network.chain_id)
    with Client(api) as client:
        market = client.status().address
        for tx in _payouts(l1, market, from_height):
            checking.add(tx, _shown(client, tx))
    found = _found(market, checking.report(_tasks_of(receipts)))
    print_answer(found, _text(found), as_json=as_json)
    ctx.exit(FAILED if found.findings else 0)


def _payouts(l1: str, market: str, height: int) -> "list[Transaction]":
    """The market's payouts in the chain's blocks from `height` to the newest."""
    import trio

    from node.l1.client import open_l1_client
    from node.settlement.public_audit import payout_root

    async def read() -> "list[Transaction]":
        found: list[Transaction] = []
        at = height
        async with open_l1_client(l1) as chain:
            while (block := await chain.block(at)) is not None:
                found += [tx for tx in block.txs if payout_root(tx, market) is not None]
                at += 1
        return found

    return trio.run(read)


def _shown(client: Client, tx: "Transaction") -> "Shown | None":
    """What the market shows for a payout; None if it shows nothing."""
    try:
        return _read(client.payout(str(tx.payload["root"]), tx.to_address or ""))
    except NotFound:
        return None


def _read(answer: "PayoutAnswer") -> "Shown":
    from node.amounts import parse_signed_cpc
    from node.settlement.entries import Entry, posting
    from node.settlement.public_audit import Shown

    entries = []
    for one in answer.entries:
        postings = [posting(p.account, parse_signed_cpc(p.amount_cpc)) for p in one.postings]
        entries.append(Entry(one.cause, one.kind, one.at_ms, one.number, tuple(postings)))
    return Shown(answer.account, tuple(entries))


def _tasks_of(receipts: Sequence[Path]) -> list[str]:
    from node.verification.receipt import decode_receipt

    return [decode_receipt(path.read_bytes()).draws[0].task_id for path in receipts]


def _found(market: str, report: "PublicReport") -> MarketAudit:
    from node.amounts import format_cpc

    return MarketAudit(
        market=market,
        payouts=report.transfers,
        tasks=report.tasks,
        rewards_cpc=format_cpc(report.rewards),
        burned_cpc=format_cpc(report.burned),
        to_burn_cpc=format_cpc(report.to_burn),
        findings=report.findings,
    )


def _text(found: MarketAudit) -> str:
    about = {
        "market": found.market,
        "payouts": found.payouts,
        "tasks paid": found.tasks,
        "their rewards": f"{found.rewards_cpc} CPC",
        "to be burned": f"{found.to_burn_cpc} CPC",
        "burned": f"{found.burned_cpc} CPC",
    }
    return found_text(about, found.findings)
