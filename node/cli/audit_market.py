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
from node.config import NetworkConfig, load_network
from node.errors import NotFound

if TYPE_CHECKING:
    from node.api.answers import PayoutAnswer
    from node.l1.transactions import Transaction
    from node.settlement.public_audit import PublicReport, Shown
    from node.settlement.public_rulings import Ruled
    from node.verification.receipt import Receipt, ReceiptAppeal


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
    rulings: int
    """Receipts whose results a jury decided about."""
    slashed_cpc: str
    """What bonds lost by overturned results."""
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
    each of their tasks has to be among them, and of those that were disputed jurors must be paid
    and bonds slashed as the ruling says. Exit code 1 if anything does not hold.
    """
    from node.settlement.network import settlement_parameters
    from node.settlement.public_audit import PublicAudit

    config = load_network(network)
    verified = _verified(receipts, config)
    rulings = _rulings_of(verified, config)
    checking = PublicAudit(settlement_parameters(config), config.network.chain_id)
    with Client(api) as client:
        market = client.status().address
        for tx in _payouts(l1, market, from_height):
            checking.add(tx, _shown(client, tx))
    report = checking.report([one.task_id for one in verified], rulings)
    found = _found(market, report, len(rulings))
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


def _verified(paths: Sequence[Path], network: NetworkConfig) -> "list[Receipt]":
    """What the receipts say; raises ReceiptInvalid for one that does not hold."""
    from node.verification.receipt_check import verify_receipt

    return [verify_receipt(path.read_bytes(), network)[0] for path in paths]


def _rulings_of(receipts: "Sequence[Receipt]", network: NetworkConfig) -> "list[Ruled]":
    return [_ruled(one, one.appeal, network) for one in receipts if one.appeal is not None]


def _ruled(receipt: "Receipt", appeal: "ReceiptAppeal", network: NetworkConfig) -> "Ruled":
    from node.market.quote import appeal_price
    from node.settlement.public_rulings import AtStake, Ruled
    from node.verification.receipt_appeal import agreeing
    from node.workloads import size_of

    jury, stakes = appeal.jury, None
    if appeal.stakes is not None:
        each = appeal.stakes.stakes
        stakes = tuple(AtStake(one.address, one.bonded, one.unbonding) for one in each)
    size = size_of(jury.kind, jury.parameters)
    return Ruled(
        task_id=jury.task_id,
        outcome=appeal.outcome,
        fee=jury.fee,
        price=appeal_price(network, size.jobs * size.work_units),
        jurors=agreeing(receipt, appeal),
        stakes=stakes,
    )


def _found(market: str, report: "PublicReport", rulings: int) -> MarketAudit:
    from node.amounts import format_cpc

    return MarketAudit(
        market=market,
        payouts=report.transfers,
        tasks=report.tasks,
        rewards_cpc=format_cpc(report.rewards),
        burned_cpc=format_cpc(report.burned),
        to_burn_cpc=format_cpc(report.to_burn),
        rulings=rulings,
        slashed_cpc=format_cpc(report.slashed),
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
        "rulings": str(found.rulings),
        "slashed": f"{found.slashed_cpc} CPC",
    }
    return found_text(about, found.findings)
