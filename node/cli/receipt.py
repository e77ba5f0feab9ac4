"""`tmnode receipt verify`: check a receipt without asking anybody."""

from pathlib import Path

import click

from node.cli.launch import verify_receipt
from node.cli.options import PATH, json_option
from node.cli.output import pairs, print_answer
from node.config import load_network

NOT_ANCHORED = 2
OVERTURNED = 3


@click.group()
def receipt() -> None:
    """Check a task's receipt down to the block."""


@receipt.command()
@click.argument("file", type=PATH)
@click.option("--network", type=PATH, help="Network file with the pinned proposer keys.")
@click.option(
    "--artifact",
    "artifacts",
    type=PATH,
    multiple=True,
    help="A file of the result, or a folder of them: then proofs are verified. Repeatable.",
)
@json_option
@click.pass_context
def verify(
    ctx: click.Context,
    file: Path,
    network: Path | None,
    artifacts: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Verify the receipt in FILE, with nothing but the network file's pinned keys.

    A receipt shows that validators attest the result. If the result is also proven, its outputs and
    its proof (where the receipt has only its digest) show it without anybody's word: with
    --artifact, every proof is verified, or the receipt is invalid.

    \b
    Exit code 0: valid, and anchored in a block of a pinned proposer.
    Exit code 1: invalid; the error says what does not hold.
    Exit code 2: consistent, not anchored: no pinned proposer signed the block.
    Exit code 3: consistent, and the result is false: a jury overturned it.
    """
    checked = verify_receipt(file.read_bytes(), load_network(network), artifacts)
    about = {"standing": checked.standing, **checked.facts}
    answer = {"anchored": checked.anchored, "proven": checked.proven, **about}
    failed = OVERTURNED if checked.overturned else NOT_ANCHORED
    print_answer(answer, pairs(about), as_json=as_json)
    ctx.exit(0 if checked.anchored else failed)
