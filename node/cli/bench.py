"""`tmnode bench`: figures of this machine."""

import click
import trio

from node.cli.options import json_option
from node.cli.output import print_answer


@click.group()
def bench() -> None:
    """Measure the product on this machine; nothing here is a test."""


@bench.command()
@click.option(
    "--tasks",
    "count",
    type=click.IntRange(1),
    default=1000,
    show_default=True,
    help="Tasks posted together, for the throughput.",
)
@click.option(
    "--singles",
    type=click.IntRange(1),
    default=30,
    show_default=True,
    help="Tasks posted one after the other, for the latency.",
)
@json_option
def tasks(count: int, singles: int, as_json: bool) -> None:
    """Latency and throughput of tiny tasks over a network of real processes."""
    from node.bench.report import lines
    from node.bench.tasks import bench_tasks

    result = trio.run(bench_tasks, count, singles)
    print_answer(result, "\n".join(lines(result)), as_json=as_json)


@bench.command()
@click.option(
    "--requests",
    type=click.IntRange(1),
    default=3000,
    show_default=True,
    help="Tasks posted.",
)
@json_option
def api(requests: int, as_json: bool) -> None:
    """Durable `POST /tasks` at a real market."""
    from node.bench.api import bench_api
    from node.bench.report import lines

    result = trio.run(bench_api, requests)
    print_answer(result, "\n".join(lines(result)), as_json=as_json)


@bench.command()
@click.option(
    "--seconds",
    type=click.FloatRange(0.01),
    default=1.0,
    show_default=True,
    help="Length of one run; there are eight cases.",
)
@click.option(
    "--runs", type=click.IntRange(1), default=3, show_default=True, help="Runs of each case."
)
@json_option
def storage(seconds: float, runs: int, as_json: bool) -> None:
    """Durable puts of 64 writers and of one, beside SQLite's."""
    from node.bench.report import lines
    from node.bench.storage import bench_storage

    result = bench_storage(seconds, runs)
    print_answer(result, "\n".join(lines(result)), as_json=as_json)


@bench.command()
@click.option(
    "--seconds",
    type=click.FloatRange(0.1),
    default=20.0,
    show_default=True,
    help="Length of the gossip.",
)
@click.option(
    "--requests",
    type=click.IntRange(1),
    default=3000,
    show_default=True,
    help="Requests sent one after the other, and again many at a time.",
)
@click.option(
    "--megabytes",
    type=click.IntRange(1),
    default=256,
    show_default=True,
    help="Size of the body fetched, in MiB.",
)
@click.option(
    "--runs", type=click.IntRange(1), default=5, show_default=True, help="Bodies fetched."
)
@json_option
def network(seconds: float, requests: int, megabytes: int, runs: int, as_json: bool) -> None:
    """Gossip, requests and transfers between four real processes."""
    from node.bench.network import bench_network
    from node.bench.report import lines

    result = trio.run(bench_network, seconds, requests, megabytes, runs)
    print_answer(result, "\n".join(lines(result)), as_json=as_json)


@bench.command()
@click.option(
    "--iterations",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    help="Steps of the whole task at matrix_size 1024.",
)
@click.option(
    "--runs", type=click.IntRange(1), default=3, show_default=True, help="Runs of each measurement."
)
@json_option
def proofs(iterations: int, runs: int, as_json: bool) -> None:
    """Prover and verifier of synthetic chains beside the chain itself; takes a minute."""
    from node.bench.proofs import bench_proofs
    from node.bench.report import lines

    result = bench_proofs(runs, (1024, iterations))
    print_answer(result, "\n".join(lines(result)), as_json=as_json)


@bench.command()
@click.option(
    "--runs", type=click.IntRange(1), default=7, show_default=True, help="Runs of each measurement."
)
@json_option
def kernels(runs: int, as_json: bool) -> None:
    """CPU kernels beside numpy's OpenBLAS, and torch where installed; takes half a minute."""
    from node.bench.kernels import bench_kernels
    from node.bench.report import lines

    result = bench_kernels(runs)
    print_answer(result, "\n".join(lines(result)), as_json=as_json)


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
@click.option("--runs", type=click.IntRange(1), default=3, show_default=True, help="Challenges.")
@click.option("--beacon", help="32 bytes in hex that nobody knew before; random by default.")
@json_option
def challenge(
    matrix_size: int, iterations: int, runs: int, beacon: str | None, as_json: bool
) -> None:
    """Rate this machine: work units a second of fresh chains, each verified by its proof."""
    from node.bench.challenge import bench_challenge
    from node.bench.report import lines

    fresh = None if beacon is None else read_beacon(beacon)
    result = bench_challenge(matrix_size, iterations, runs, fresh)
    print_answer(result, "\n".join(lines(result)), as_json=as_json)


def read_beacon(text: str) -> bytes:
    """32 bytes from hex, with or without 0x, as chains print hashes."""
    try:
        beacon = bytes.fromhex(text.removeprefix("0x"))
    except ValueError as error:
        raise click.BadParameter("is not hexadecimal", param_hint="--beacon") from error
    if len(beacon) != 32:
        raise click.BadParameter(f"has {len(beacon)} bytes, not 32", param_hint="--beacon")
    return beacon
