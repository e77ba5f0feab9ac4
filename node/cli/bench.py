"""`tmnode bench`: figures of this machine."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click
import trio

from node.cli.options import device_option, json_option
from node.cli.output import print_answer

if TYPE_CHECKING:
    from node.bench.report import Report

Command = TypeVar("Command", bound=Callable[..., object])


def _count_option(name: str, default: int, text: str) -> Callable[[Command], Command]:
    """How many of something: a whole number from 1."""
    return click.option(name, type=click.IntRange(1), default=default, show_default=True, help=text)


@click.group()
def bench() -> None:
    """Measure the product on this machine; nothing here is a test."""


@bench.command()
@_count_option("--tasks", 1000, "Tasks posted together, for the throughput.")
@_count_option("--singles", 30, "Tasks posted one after the other, for the latency.")
@json_option
def tasks(tasks: int, singles: int, as_json: bool) -> None:
    """Latency and throughput of tiny tasks over a network of real processes."""
    from node.bench.tasks import bench_tasks

    _show(trio.run(bench_tasks, tasks, singles), as_json)


@bench.command()
@_count_option("--requests", 3000, "Tasks posted.")
@json_option
def api(requests: int, as_json: bool) -> None:
    """Durable `POST /tasks` at a real market."""
    from node.bench.api import bench_api

    _show(trio.run(bench_api, requests), as_json)


@bench.command()
@click.option(
    "--seconds",
    type=click.FloatRange(0.01),
    default=1.0,
    show_default=True,
    help="Length of one run; there are eight cases.",
)
@_count_option("--runs", 3, "Runs of each case.")
@json_option
def storage(seconds: float, runs: int, as_json: bool) -> None:
    """Durable puts of 64 writers and of one, beside SQLite's."""
    from node.bench.storage import bench_storage

    _show(bench_storage(seconds, runs), as_json)


@bench.command()
@click.option(
    "--seconds",
    type=click.FloatRange(0.1),
    default=20.0,
    show_default=True,
    help="Length of the gossip.",
)
@_count_option("--requests", 3000, "Requests sent one after the other, and again many at a time.")
@_count_option("--megabytes", 256, "Size of the body fetched, in MiB.")
@_count_option("--runs", 5, "Bodies fetched.")
@json_option
def network(seconds: float, requests: int, megabytes: int, runs: int, as_json: bool) -> None:
    """Gossip, requests and transfers between four real processes."""
    from node.bench.network import bench_network

    _show(trio.run(bench_network, seconds, requests, megabytes, runs), as_json)


@bench.command()
@_count_option("--results", 2000, "Results settled and paid, on each of two networks.")
@_count_option("--entries", 100_000, "Ledger entries audited.")
@click.option(
    "--seconds",
    type=click.FloatRange(0.01),
    default=2.0,
    show_default=True,
    help="Length of a run that writes entries; there are two cases.",
)
@_count_option("--runs", 3, "Runs of the ledger's measurements.")
@json_option
def settlement(results: int, entries: int, seconds: float, runs: int, as_json: bool) -> None:
    """Transactions and gas of results and payouts, and the ledger on the disk; takes a minute."""
    from node.bench.settlement import bench_settlement

    _show(bench_settlement(results, entries, seconds, runs), as_json)


@bench.command()
@_count_option("--transfers", 4000, "Transfers posted, for each of two block times.")
@json_option
def devchain(transfers: int, as_json: bool) -> None:
    """Transfers that the development chain admits and includes."""
    from node.bench.devchain import bench_devchain

    _show(trio.run(bench_devchain, transfers), as_json)


@bench.command()
@_count_option("--iterations", 100, "Steps of the whole task at matrix_size 1024.")
@_count_option("--runs", 3, "Runs of each measurement.")
@json_option
def proofs(iterations: int, runs: int, as_json: bool) -> None:
    """Prover and verifier of synthetic chains beside the chain itself; takes a minute."""
    from node.bench.proofs import bench_proofs

    _show(bench_proofs(runs, (1024, iterations)), as_json)


@bench.command()
@_count_option("--runs", 7, "Runs of each measurement.")
@click.option(
    "--peers",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of packages with torch in it, such as the site-packages of another environment.",
)
@device_option("What is measured")
@json_option
def kernels(runs: int, peers: Path | None, device: str, as_json: bool) -> None:
    """Kernels beside OpenBLAS, cuBLAS, and torch where installed; takes a minute."""
    from node.bench.kernels import bench_kernels

    _show(bench_kernels(runs, peers=peers, device=device), as_json)


@bench.command()
@click.option(
    "--matrix-size",
    type=click.IntRange(1024, 16_384),
    default=2048,
    show_default=True,
    help="Side of the matrices.",
)
@click.option(
    "--iterations",
    type=click.IntRange(1, 10_000),
    default=8,
    show_default=True,
    help="Steps of each chain.",
)
@_count_option("--runs", 3, "Challenges.")
@click.option("--beacon", help="32 bytes in hex that nobody knew before; random by default.")
@device_option("What is measured")
@json_option
def challenge(
    matrix_size: int, iterations: int, runs: int, beacon: str | None, device: str, as_json: bool
) -> None:
    """Rate a device: work units a second of fresh chains, each verified by its proof."""
    from node.bench.challenge import bench_challenge

    fresh = None if beacon is None else read_beacon(beacon)
    _show(bench_challenge(matrix_size, iterations, runs, fresh, device), as_json)


def read_beacon(text: str) -> bytes:
    """32 bytes from hex, with or without 0x, as chains print hashes."""
    try:
        beacon = bytes.fromhex(text.removeprefix("0x"))
    except ValueError as error:
        raise click.BadParameter("is not hexadecimal", param_hint="--beacon") from error
    if len(beacon) != 32:
        raise click.BadParameter(f"has {len(beacon)} bytes, not 32", param_hint="--beacon")
    return beacon


def _show(result: "Report", as_json: bool) -> None:
    from node.bench.report import lines

    print_answer(result, "\n".join(lines(result)), as_json=as_json)
