"""The two files of a node, read, overridden from the command line, checked and resolved."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from node.config.checks import check_network, check_node
from node.config.model import Config, NetworkConfig, NodeConfig
from node.config.reading import build, read_toml

BUILT_IN_NETWORK = Path(__file__).with_name("default_network.toml")
"""The network of a node that names none: the devnet, as in `configs/devnet.toml`."""

_COMMAND_LINE = "command line"
_S = TypeVar("_S", bound=msgspec.Struct)


def load_network(path: Path | None = None) -> NetworkConfig:
    """Read a network file, by default the built-in one; raises ConfigError."""
    path = path or BUILT_IN_NETWORK
    config = build(NetworkConfig, read_toml(path), str(path))
    check_network(config, str(path))
    return config


def load_config(
    path: Path | None = None,
    *,
    roles: Sequence[str] = (),
    data_dir: Path | None = None,
    network: Path | None = None,
    api: str | None = None,
    listen: Sequence[str] = (),
) -> Config:
    """Read a node file (none: all defaults) and its network; raises ConfigError.

    The other arguments replace the file's values, lists as a whole. A relative path means relative
    to where it is written: the file's folder, or the working directory for an argument.
    """
    file = build(NodeConfig, read_toml(path), str(path)) if path else NodeConfig()
    folder = path.parent if path else Path()
    if network is None and file.node.network:
        network = _place(folder, file.node.network)
    places = {
        "network": str(network.absolute()) if network else "",
        "data_dir": str((data_dir or _place(folder, file.node.data_dir)).absolute()),
    }
    config = Config(
        node=_override(replace(file.node, **places), "node", roles=list(roles) or None),
        p2p=_override(file.p2p, "p2p", listen=list(listen) or None),
        api=_override(file.api, "api", listen=api),
        worker=file.worker,
        market=file.market,
        payout=file.payout,
        network=load_network(network),
    )
    check_node(config, str(path or _COMMAND_LINE))
    return config


def _place(folder: Path, text: str) -> Path:
    return folder / Path(text).expanduser()


def _override(section: _S, key: str, **values: object) -> _S:
    """The section with the values that are not None, checked like a file's."""
    given = {name: value for name, value in values.items() if value is not None}
    checked = build(type(section), given, _COMMAND_LINE, key)
    return replace(section, **{name: getattr(checked, name) for name in given})
