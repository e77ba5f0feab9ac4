"""`tmnode run`."""

from pathlib import Path
from typing import Any

import click

from node.cli.launch import run_node
from node.cli.options import node_options
from node.config import load_config


@click.command()
@node_options
def run(file: Path | None, **overrides: Any) -> None:
    """Run a node with its roles until SIGINT or SIGTERM.

    Without --network, here and in the file, it joins the built-in devnet. Sealed keys are opened
    with the passphrase in TMNODE_PASSPHRASE_FILE or TMNODE_PASSPHRASE.
    """
    run_node(load_config(file, **overrides))
