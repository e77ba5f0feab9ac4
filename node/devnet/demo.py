"""`make demo`: a network of real processes, tasks through every door, receipts, and the money."""

import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx
import msgspec
import trio

from node.amounts import format_cpc, parse_cpc
from node.client import AsyncClient
from node.config import load_network
from node.devnet.layout import Layout
from node.devnet.network import DevnetOptions, open_devnet
from node.errors import NodeError
from node.l1.client import L1Client, open_l1_client
from node.settlement.parameters import BURN_ADDRESS, TREASURY_ADDRESS
from node.verification.receipt import Receipt
from node.verification.receipt_check import Standing, verify_receipt

REWARD = "10.0"
ANCHOR_TIMEOUT_S = 120.0
SETTLE_TIMEOUT_S = 60.0
PAYOUT_TIMEOUT_S = 60.0
POLL_S = 0.25
BASIS_POINTS = 10_000
ROUNDED = 16
"""Units that dividing one reward may leave over: they are burned."""


class Order(msgspec.Struct, frozen=True):
    """A task of the demo and the door it is posted through."""

    door: str
    size: int
    iterations: int
    chains: int = 1
    """Independent jobs, which several workers share."""

    @property
    def payload(self) -> dict[str, object]:
        """The synthetic workload's payload."""
        seed = f"demo/{self.door}/{self.size}"
        payload = {"seed": seed, "matrix_size": self.size, "iterations": self.iterations}
        return payload if self.chains == 1 else {**payload, "chains": self.chains}


ORDERS = (
    Order("REST", 64, 2),
    Order("REST", 256, 8),
    Order("REST", 1000, 4),
    Order("JSON-RPC", 64, 16),
    Order("JSON-RPC", 512, 4),
    Order("JSON-RPC", 97, 30),
    Order("CLI", 128, 8),
    Order("CLI", 1024, 8),
    Order("REST", 512, 8, chains=3),
)


class DemoFailed(NodeError):
    """Something that the demo shows did not come out as it must."""

    code = "demo_failed"


async def run_demo(device: str = "cpu") -> None:
    """Run the whole demonstration, on `cpu` or `cuda:N`; raises DemoFailed if any part does not
    hold."""
    with tempfile.TemporaryDirectory(prefix="tmnode-demo-") as folder:
        _say("starting 1 chain, 1 market, 3 validators (quorum 2 of 3), 3 workers …")
        options = DevnetOptions(api_port=0, device=device)
        async with open_devnet(Path(folder), options) as devnet:
            layout = devnet.layout
            _say(f"market at {layout.market.api_url}, L1 at {layout.l1_url}")
            receipts = await _buy(layout)
            await _wait_settled(layout, receipts)
            units = await _wait_payouts(layout, len(receipts))
            _print_money(layout, units, len(receipts))
            codes = await devnet.stop()
        _check_stopped(codes)
    _say(f"done: {len(receipts)} tasks bought, computed, checked, anchored and paid")


async def _buy(layout: Layout) -> list[Receipt]:
    """Post all orders, wait for their anchors, verify the receipts offline."""
    async with (
        AsyncClient(layout.market.api_url) as client,
        httpx.AsyncClient(verify=False) as http,
    ):
        posted = [(order, await _post(order, layout, client, http)) for order in ORDERS]
        _say(f"posted {len(posted)} tasks over REST, JSON-RPC and the command line")
        receipts = []
        for order, task_id in posted:
            async for _ in client.follow(task_id, until="anchored", timeout_s=ANCHOR_TIMEOUT_S):
                pass
            data = await client.receipt(task_id)
            receipts.append(_verified(data, layout))
            _print_task(order, receipts[-1], layout)
    await _verify_on_command_line(data, layout)
    return receipts


async def _post(order: Order, layout: Layout, client: AsyncClient, http: httpx.AsyncClient) -> str:
    if order.door == "REST":
        return (await client.submit("synthetic", order.payload, REWARD)).task_id
    if order.door == "JSON-RPC":
        params = {"challenge_type": "synthetic", "payload": order.payload, "reward": REWARD}
        call = {"jsonrpc": "2.0", "id": 1, "method": "tm_submitTask", "params": params}
        answer = (await http.post(f"{layout.market.api_url}/rpc", json=call)).json()
        return str(answer["result"]["task_id"])
    fields = [f"{name}={value}" for name, value in order.payload.items()]
    place = ["--api", layout.market.api_url]
    output = await _tmnode(
        "task", "submit", "synthetic", *fields, "--reward", REWARD, *place, "--json"
    )
    return str(json.loads(output)["task_id"])


def _verified(data: bytes, layout: Layout) -> Receipt:
    receipt, standing = verify_receipt(data, load_network(layout.network_file))
    if standing is not Standing.ANCHORED:
        raise DemoFailed(f"the receipt of {receipt.task_id} is {standing.value}")
    return receipt


async def _wait_settled(layout: Layout, receipts: Sequence[Receipt]) -> None:
    """The customer has every output; those who worked are paid when no dispute came in time."""
    window_s = load_network(layout.network_file).economics.dispute_window_s
    _say(f"pay matures {window_s:g} s after each result, while it could be disputed …")
    async with AsyncClient(layout.market.api_url) as client:
        for receipt in receipts:
            async for _ in client.follow(
                receipt.task_id, until="settled", timeout_s=SETTLE_TIMEOUT_S
            ):
                pass


async def _verify_on_command_line(data: bytes, layout: Layout) -> None:
    """The last receipt once more, as a stranger would: a file and the network file."""
    path = layout.directory / "receipt.json"
    path.write_bytes(data)
    network = str(layout.network_file)
    await _tmnode("receipt", "verify", str(path), "--network", network)
    path.write_bytes(data.replace(b'"nonce":', b'"nonce":1', 1))
    try:
        await _tmnode("receipt", "verify", str(path), "--network", network)
    except subprocess.CalledProcessError as error:
        _say(f"a changed receipt is refused: {error.stderr.decode().strip()}")
    else:
        raise DemoFailed("a changed receipt was taken for valid")


async def _tmnode(*arguments: str) -> bytes:
    command = [sys.executable, "-m", "node.cli", *arguments]
    done = await trio.run_process(command, capture_stdout=True, capture_stderr=True)
    return done.stdout


async def _wait_payouts(layout: Layout, tasks: int) -> dict[str, int]:
    """Wait until the blocks show every part of every reward; units by receiver's address."""
    economics = load_network(layout.network_file).economics
    rewards = tasks * parse_cpc(REWARD)
    due = rewards - tasks * economics.fee_reserve
    payments = Payments(layout.market.keys.account.address)
    async with open_l1_client(layout.l1_url) as chain:
        with trio.fail_after(PAYOUT_TIMEOUT_S):
            while not await payments.read_next(chain) or sum(payments.units.values()) < due:
                await trio.sleep(POLL_S)
    rounded = payments.units[BURN_ADDRESS] - rewards * economics.burn_bp // BASIS_POINTS
    if sum(payments.units.values()) != due or not 0 <= rounded < tasks * ROUNDED:
        raise DemoFailed(f"the market paid {payments.units}, not {due} units in all")
    return payments.units


class Payments:
    """The TRANSFERs of one sender, read block by block from the chain itself."""

    def __init__(self, sender: str) -> None:
        self._sender = sender
        self._height = 0
        self.units: Counter[str] = Counter()

    async def read_next(self, chain: L1Client) -> bool:
        """Read the blocks that are new; True once the tip is reached."""
        while (block := await chain.block(self._height)) is not None:
            for tx in block.txs:
                if tx.tx_type == "TRANSFER" and tx.from_address == self._sender:
                    self.units[tx.to_address or ""] += tx.amount
            self._height += 1
        return True


def _print_money(layout: Layout, units: Mapping[str, int], tasks: int) -> None:
    rewards = tasks * parse_cpc(REWARD)
    accounts = [("burned", BURN_ADDRESS)]
    accounts += [(seat.name, seat.keys.account.address) for seat in layout.workers]
    accounts += [(seat.name, seat.keys.account.address) for seat in layout.validators]
    accounts += [("treasury", TREASURY_ADDRESS)]
    _say(f"\n{'paid to':<14}{'CPC':>24}{'share':>10}   address")
    for name, address in accounts:
        share = 100 * units.get(address, 0) / rewards
        _say(f"{name:<14}{format_cpc(units.get(address, 0)):>24}{share:>9.3f}%   {address}")
    fees = rewards - sum(units.values())
    _say(f"{'for L1 fees':<14}{format_cpc(fees):>24}{100 * fees / rewards:>9.3f}%")
    _say(f"{'rewards':<14}{format_cpc(rewards):>24}{100:>9.3f}%\n")


def _print_task(order: Order, receipt: Receipt, layout: Layout) -> None:
    names = {seat.keys.account.address: seat.name for seat in layout.seats}
    workers = sorted({names[result.worker_address] for result in receipt.results})
    verdicts = sum(len(job.verdicts) for job in receipt.jobs)
    blocks = ", ".join(str(anchor.header.height) for anchor in receipt.anchors)
    work = f"n={order.size:<5} T={order.iterations:<3}"
    work += f" {order.chains} jobs" if order.chains > 1 else ""
    _say(
        f"  {order.door:<9} {work} by {', '.join(workers)},"
        f" {verdicts} verdicts, block {blocks}, receipt verified offline"
    )


def _check_stopped(codes: Mapping[str, int]) -> None:
    failed = {name: code for name, code in codes.items() if code}
    if failed:
        raise DemoFailed(f"not everything stopped cleanly: {failed}")


def _say(line: str) -> None:
    print(line, flush=True)
