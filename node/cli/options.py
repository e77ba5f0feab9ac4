"""Options that many commands share."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from node.cli.session import Session

ROLES = ("market", "validator", "worker")
DEFAULT_DATA_DIR = "~/.tmnode"

_F = TypeVar("_F", bound=Callable[..., Any])


class PathValue(click.ParamType[Path]):
    """A path, `~` expanded; whether it exists is said by whoever opens it."""

    name = "path"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Path:
        """Make a path of the argument."""
        if value == "":
            self.fail("is empty", param, ctx)
        return Path(str(value)).expanduser()


PATH = PathValue()


def _note_json(ctx: click.Context, _param: click.Parameter, value: bool) -> bool:
    session = ctx.find_object(Session)
    if session is not None:
        session.as_json = value
    return value


def json_option(command: _F) -> _F:
    """`--json`: the command gets `as_json`, and errors are printed as JSON too."""
    option = click.option(
        "--json",
        "as_json",
        is_flag=True,
        callback=_note_json,
        is_eager=True,
        help="Print one JSON object.",
    )
    return option(command)


def data_dir_option(command: _F) -> _F:
    """`--data-dir`: where a node keeps its keys and state."""
    option = click.option(
        "--data-dir", type=PATH, default=DEFAULT_DATA_DIR, show_default=True, help="Node's folder."
    )
    return option(command)


def api_option(command: _F) -> _F:
    """`--api`: which node to ask; None takes TMNODE_API or the default."""
    option = click.option(
        "--api", metavar="URL", help="Node to ask; TMNODE_API or http://127.0.0.1:8080 by default."
    )
    return option(command)


def device_option(what: str) -> Callable[[_F], _F]:
    """`--device`: `cpu`, the default, or a GPU by its number; `what` begins its help."""
    return click.option(
        "--device",
        default="cpu",
        show_default=True,
        callback=_known_device,
        help=f"{what}: cpu, or cuda:0 and so on.",
    )


def _known_device(_context: click.Context, parameter: click.Parameter, device: str) -> str:
    if re.fullmatch(r"cpu|cuda:[0-9]{1,2}", device) is None:
        raise click.BadParameter("is not cpu or cuda:N", param=parameter)
    return device


def node_options(command: _F) -> _F:
    """What `run` and `config` take to find and override a configuration."""
    for option in (
        click.option("--listen", multiple=True, metavar="MULTIADDR", help="Replaces p2p.listen."),
        click.option("--api", metavar="HOST:PORT", help='Replaces api.listen; "" for no API.'),
        click.option("--network", type=PATH, help="Network file; replaces node.network."),
        click.option("--data-dir", type=PATH, help="Node's folder; replaces node.data_dir."),
        click.option(
            "--role", "roles", multiple=True, type=click.Choice(ROLES), help="Replaces node.roles."
        ),
        click.option("--config", "file", type=PATH, help="Node file; none for the defaults."),
    ):
        command = option(command)
    return command
