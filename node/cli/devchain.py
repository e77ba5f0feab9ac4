"""`tmnode devchain`."""

from pathlib import Path

import click

from node.cli.arguments import DURATION
from node.cli.launch import run_devchain
from node.cli.options import PATH
from node.config.values import HostPort
from node.errors import InvalidInput


class ListenValue(click.ParamType[HostPort]):
    """`host:port`."""

    name = "host:port"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> HostPort:
        """Read an address to listen on."""
        try:
            place = HostPort.parse(value)
        except InvalidInput as error:
            self.fail(str(error), param, ctx)
        if not place:
            self.fail("is empty", param, ctx)
        return place


@click.command()
@click.option(
    "--dir",
    "directory",
    type=PATH,
    default=".devchain",
    show_default=True,
    help="Folder for the chain's state.",
)
@click.option(
    "--listen",
    type=ListenValue(),
    default="127.0.0.1:8000",
    show_default=True,
    help="Where its HTTP API answers.",
)
@click.option(
    "--block-time", type=DURATION, default="5s", show_default=True, help="Time between blocks."
)
@click.option(
    "--profile",
    type=click.Choice(["upstream", "market"]),
    default="upstream",
    show_default=True,
    help="Whose rules: the existing chain's, or also results checked, and deposits, escrows and"
    " bonds held (docs/devchain.md).",
)
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="NAME[=NUMBER]",
    help="Misbehave, as often as the number says: stuck-receipts, late-events, forgets,"
    " rolls-back, rewrites, lost-answers, cut-answers, late-answers.",
)
def devchain(
    directory: Path, listen: HostPort, block_time: float, profile: str, faults: tuple[str, ...]
) -> None:
    """Run an L1 with one proposer, for development and tests; its money is worth nothing.

    With --fault it fails its users in a way that real chains and their nodes do
    (docs/operations.md says how): every so many blocks, answers or TRANSFERs.
    """
    run_devchain(directory, listen, block_time, profile, faults)
