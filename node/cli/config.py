"""`tmnode config`: read configuration files without starting anything."""

from pathlib import Path
from typing import Any

import click

from node.cli.options import PATH, json_option, node_options
from node.cli.output import pairs, print_answer
from node.config import NetworkConfig, load_config, load_network, plain, to_toml
from node.config.reading import read_toml


@click.group()
def config() -> None:
    """Check and show configuration files."""


@config.command()
@click.argument("file", type=PATH)
@json_option
def check(file: Path, as_json: bool) -> None:
    """Check FILE, a node file with its network file, or a network file."""
    about: dict[str, Any] = {"file": str(file)}
    if "network" in read_toml(file):
        about |= {"kind": "network", **_about(load_network(file))}
    else:
        found = load_config(file)
        about |= {"kind": "node", "roles": list(found.node.roles), **_about(found.network)}
    print_answer({**about, "valid": True}, f"{pairs(about)}\nvalid", as_json=as_json)


@config.command()
@node_options
@json_option
def show(file: Path | None, as_json: bool, **overrides: Any) -> None:
    """Show what a node with this file and these options would use; secrets are left out."""
    found = plain(load_config(file, **overrides))
    print_answer(found, to_toml(found), as_json=as_json)


def _about(network: NetworkConfig) -> dict[str, str]:
    section = network.network
    return {"network": section.name, "chain_id": section.chain_id, "l1": section.l1_url.shown}
