"""A running development network: one chain, one market, validators, workers, a funded customer."""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import trio

from node.amounts import UNITS_PER_CPC
from node.client import AsyncClient
from node.devnet.layout import BLOCK_TIME_S, Layout, Seat, write_layout
from node.devnet.processes import Program
from node.l1.client import open_l1_client
from node.l1.devchain.profiles import UPSTREAM
from node.l1.escrow import deposit
from node.l1.transactions import transfer
from node.sandbox.devices import program_for

DEPOSIT_CPC = 100_000
"""What the customer deposits at the market, CPC."""
DEPOSIT_TIMEOUT_S = 60.0
MESH_TIMEOUT_S = 60.0
POLL_S = 0.1


class DevnetOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The size and pace of a development network."""

    validators: int = 3
    workers: int = 3
    api_port: int = 8080
    block_time_s: float = BLOCK_TIME_S
    profile: str = UPSTREAM.name
    """Whose rules the chain follows."""
    settlement: str = "transfer"
    """Who holds the customers' money; `escrow` needs a chain of the `market` profile."""
    device: str = "cpu"
    """What the workers compute on, as in a node's configuration: `cpu` or `cuda:N`."""


class Devnet:
    """The programs of a written layout."""

    def __init__(self, layout: Layout, options: DevnetOptions) -> None:
        self.layout = layout
        self.chain = Program(
            "l1",
            [
                "devchain",
                "--dir",
                str(layout.directory / "l1"),
                "--listen",
                f"127.0.0.1:{layout.l1_port}",
                "--block-time",
                f"{options.block_time_s}s",
                "--profile",
                layout.profile,
            ],
            layout.directory / "l1" / "log",
        )
        self.nodes = {seat.name: _program(seat) for seat in layout.seats}

    async def start(self) -> None:
        """Start everything and return when the nodes know each other."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.chain.start)
            nursery.start_soon(self.nodes["market"].start)
        async with trio.open_nursery() as nursery:
            for seat in self.layout.seats[1:]:
                nursery.start_soon(self.nodes[seat.name].start)
        await self._wait_mesh()

    async def stop(self) -> dict[str, int]:
        """Stop the nodes, then the chain; returns their exit codes."""
        codes: dict[str, int] = {}

        async def stop(program: Program) -> None:
            codes[program.name] = await program.stop()

        async with trio.open_nursery() as nursery:
            for program in self.nodes.values():
                nursery.start_soon(stop, program)
        await stop(self.chain)
        return codes

    async def fund_customer(self) -> None:
        """Deposit the customer's money at the market and wait until it is credited."""
        layout = self.layout
        customer = layout.customer.account
        async with open_l1_client(layout.l1_url) as client:
            nonce = await client.nonce(customer.address, pending=True)
            pay_in = deposit if layout.settlement == "escrow" else transfer
            payment = pay_in(layout.market.keys.account.address, DEPOSIT_CPC * UNITS_PER_CPC)
            await client.send(payment.signed(customer, nonce))
        async with AsyncClient(layout.market.api_url) as market:
            with trio.fail_after(DEPOSIT_TIMEOUT_S):
                while (await market.account(customer.address)).available_cpc == "0.0":
                    await trio.sleep(POLL_S)

    async def _wait_mesh(self) -> None:
        """Wait until every node sees every other one."""
        wanted = len(self.layout.seats)
        with trio.fail_after(MESH_TIMEOUT_S):
            for seat in self.layout.seats:
                async with AsyncClient(seat.api_url) as client:
                    while len(await _connected(client)) < wanted:
                        await trio.sleep(POLL_S)


@asynccontextmanager
async def open_devnet(directory: Path, options: DevnetOptions) -> AsyncIterator[Devnet]:
    """A started, funded network; everything is stopped on leaving.

    Raises SandboxNotStarted for a device that this machine does not have.
    """
    # Compiled here, once: workers that start together would each compile the kernels of a GPU.
    await trio.to_thread.run_sync(program_for, options.device)
    layout = write_layout(
        directory,
        validators=options.validators,
        workers=options.workers,
        api_port=options.api_port,
        profile=options.profile,
        settlement=options.settlement,
        block_time_s=options.block_time_s,
        device=options.device,
    )
    devnet = Devnet(layout, options)
    try:
        await devnet.start()
        await devnet.fund_customer()
        yield devnet
    finally:
        with trio.CancelScope(shield=True):
            await devnet.stop()


async def run_devnet(directory: Path, options: DevnetOptions) -> None:
    """Run a network until SIGINT or SIGTERM."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with open_devnet(directory, options) as devnet:
            _announce(devnet)
            async for _ in signals:
                break


def _announce(devnet: Devnet) -> None:
    layout = devnet.layout
    lines = [
        f"market     {layout.market.api_url}",
        f"l1         {layout.l1_url}",
        f"customer   {layout.customer.account.address}, {DEPOSIT_CPC} CPC deposited",
        f"settlement {layout.settlement}",
        f"files      {layout.directory}",
        f"try        tmnode task submit --api {layout.market.api_url} --help",
        "stop       Ctrl-C",
    ]
    print("\n".join(lines), flush=True)


async def _connected(client: AsyncClient) -> list[str]:
    return [peer.peer_id for peer in (await client.peers()).peers if peer.connected]


def _program(seat: Seat) -> Program:
    return Program(seat.name, ["run", "--config", str(seat.config)], seat.log)
