"""`tmnode bench devchain`: transfers that the development chain admits, and has in its blocks."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
import trio

from node.amounts import UNITS_PER_CPC
from node.bench.load import post_all
from node.bench.report import Report, report, row
from node.devnet.layout import Layout, write_layout
from node.devnet.network import Devnet, DevnetOptions
from node.l1.client import HttpL1Client, open_l1_client
from node.l1.keys import AccountKey
from node.l1.transactions import transfer

CLIENTS = 8
PAYERS = 16
"""Accounts that pay: the chain keeps at most 1,000 waiting transfers of one."""
BLOCK_TIMES_S = (1.0, 0.5)
POLL_S = 0.05


async def bench_devchain(transfers: int) -> Report:
    """Measure fresh chains with blocks of two lengths; a block takes at most 500 transactions."""
    rows = []
    for block_time_s in BLOCK_TIMES_S:
        admitted, included = await _measure(block_time_s, transfers)
        blocks = f"{block_time_s:g} s blocks"
        rows.append(row(f"admitted, {blocks}", admitted, "tx/s", transfers))
        rows.append(row(f"included, {blocks}", included, "tx/s", transfers))
    return report("devchain", rows)


async def _measure(block_time_s: float, transfers: int) -> tuple[float, float]:
    """Transfers admitted and included per second by a fresh chain."""
    with tempfile.TemporaryDirectory(prefix="tmnode-bench-") as folder:
        layout = write_layout(Path(folder), validators=0, workers=0, api_port=0)
        chain = Devnet(layout, DevnetOptions(block_time_s=block_time_s)).chain
        await chain.start()
        try:
            async with open_l1_client(layout.l1_url) as client:
                return await _rates(layout, client, transfers)
        finally:
            with trio.CancelScope(shield=True):
                await chain.stop()


async def _rates(layout: Layout, client: HttpL1Client, transfers: int) -> tuple[float, float]:
    payers = [AccountKey.generate() for _ in range(PAYERS)]
    await _fund(layout.customer.account, payers, client)
    bodies = _bodies(payers, layout.customer.account.address, transfers)
    admitted = 0.0

    async def post() -> None:
        nonlocal admitted
        began_s = trio.current_time()
        _, answers = await post_all(layout.l1_url, "/tx/send", bodies, clients=CLIENTS)
        assert all(json.loads(answer)["status"] == "received" for answer in answers)
        admitted = transfers / (trio.current_time() - began_s)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(post)
        included = await _included(client, transfers)
    return admitted, included


async def _fund(customer: AccountKey, payers: Sequence[AccountKey], client: HttpL1Client) -> None:
    """Give each payer a CPC, and return when all have it."""
    nonce = await client.nonce(customer.address, pending=True)
    for number, payer in enumerate(payers):
        await client.send(transfer(payer.address, UNITS_PER_CPC).signed(customer, nonce + number))
    while await client.balance(payers[-1].address) == 0:
        await trio.sleep(POLL_S)


def _bodies(payers: Sequence[AccountKey], to: str, count: int) -> list[bytes]:
    """Signed transfers of one unit, the payers by turns."""
    return [
        msgspec.json.encode(transfer(to, 1).signed(payers[number % PAYERS], number // PAYERS))
        for number in range(count)
    ]


async def _included(client: HttpL1Client, count: int) -> float:
    """Transfers included per second by the blocks between the first and the last that have any.

    What is in the first one waited for it, and the last one was not full.
    """
    height = (await client.status()).height
    sizes: list[int] = []
    seen_s: list[float] = []
    while sum(sizes) < count:
        block = await client.block(height + 1)
        if block is None:
            await trio.sleep(POLL_S)
            continue
        height += 1
        if block.txs:
            sizes.append(len(block.txs))
            seen_s.append(trio.current_time())
    return sum(sizes[1:-1]) / (seen_s[-2] - seen_s[0]) if len(sizes) > 2 else 0.0
