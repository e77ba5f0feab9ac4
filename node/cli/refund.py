"""`tmnode wallet refund`: the way by which a task's reward comes back without anybody's help."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from node.cli.deposits import account_key, hand_in, l1_option, passphrase_option, with_chain
from node.cli.options import PATH, data_dir_option, json_option
from node.errors import Conflict, NotFound

if TYPE_CHECKING:
    from node.l1.client import HttpL1Client
    from node.l1.escrow import EscrowView


@click.command()
@click.argument("market")
@click.argument("task_id")
@l1_option
@click.option("--network", type=PATH, help="Network file with the chain's id.")
@data_dir_option
@passphrase_option
@json_option
def refund(
    market: str,
    task_id: str,
    l1: str,
    network: Path | None,
    data_dir: Path,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Have the reward of TASK_ID go back into its customer's deposit at MARKET, an address.

    A market does this by itself; it is for one that is gone. The chain takes it from anybody, for
    its fee, when deadline and grace of the task's escrow are over and nobody has closed it. What
    is in the deposit comes out by `tmnode wallet reclaim`.
    """
    import trio

    from node.config import load_network
    from node.l1.escrow import escrow_id_of, refund_escrow

    escrow_id = escrow_id_of(load_network(network).network.chain_id, market, task_id)
    key = account_key(data_dir, passphrase_file)

    async def look(chain: "HttpL1Client") -> "tuple[EscrowView | None, int]":
        return await chain.escrow(escrow_id), (await chain.status()).height

    found, height = trio.run(with_chain, l1, look)
    if found is None:
        problem = "the chain has no escrow for this task of the market's"
        raise NotFound(problem, field="task_id", remedy="check market, task and network file")
    _check_late(found, height)
    note = "back in the deposit once a block holds it; `tmnode wallet reclaim` takes it out"
    draft, units, owner = refund_escrow(escrow_id), found.amount, found.customer
    hand_in(l1, key, draft, market, units, note, owner=owner, as_json=as_json)


def _check_late(found: "EscrowView", height: int) -> None:
    """Raises Conflict for what is closed, and for what the next block would not take."""
    late = found.back_height
    if late is None:
        how = f"the escrow is {found.status} since block {found.closed_height}"
        raise Conflict(how, field="task_id")
    if height < late:
        raise Conflict(
            f"anybody may have it refunded after block {late}, now is {height}", field="task_id"
        )
