"""`tmnode devnet`, and the demo behind `make demo`."""

from pathlib import Path

import click

from node.cli.launch import run_demo, run_devnet
from node.cli.options import PATH, device_option


@click.command()
@click.option(
    "--dir",
    "directory",
    type=PATH,
    default=".devnet",
    show_default=True,
    help="Folder for keys and state; kept between runs.",
)
@click.option(
    "--validators",
    type=click.IntRange(1, 31),
    default=3,
    show_default=True,
    help="Nodes that check work.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=3,
    show_default=True,
    help="Nodes that compute.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=8080,
    show_default=True,
    help="The market's API port on 127.0.0.1; 0 takes any free one.",
)
@click.option(
    "--profile",
    type=click.Choice(["upstream", "market"]),
    default="upstream",
    show_default=True,
    help="The chain's rules; with `market` it verifies proofs, and workers send them themselves.",
)
@click.option(
    "--settlement",
    type=click.Choice(["transfer", "escrow"]),
    default="transfer",
    show_default=True,
    help="Who holds the customers' money: the market, or the chain, which then follows the rules of"
    " `market`. Needs a new folder.",
)
@device_option("What the workers compute on")
def devnet(
    directory: Path,
    validators: int,
    workers: int,
    port: int,
    profile: str,
    settlement: str,
    device: str,
) -> None:
    """Run a whole network on this machine: a chain, a market, validators, workers."""
    run_devnet(
        directory,
        validators=validators,
        workers=workers,
        port=port,
        profile=profile,
        settlement=settlement,
        device=device,
    )


@click.command()
@device_option("What the workers compute on")
def demo(device: str) -> None:
    """Run a network, buy tasks, check them, pay them, and stop."""
    run_demo(device)
