"""Configuration: one file for a network, one for a node, both TOML, both read once at the start.

`model` is what they hold, `reading` turns a table into it and names every mistake, `checks` holds
the values against each other, `loading` puts file, command line and network together, `showing`
prints the outcome without its secrets. `configs/` has a commented sample of each file.
"""

from node.config.loading import BUILT_IN_NETWORK, load_config, load_network
from node.config.model import (
    ApiSection,
    Config,
    EconomicsSection,
    MarketSection,
    NetworkConfig,
    NetworkSection,
    NodeConfig,
    NodeSection,
    P2PSection,
    ProtocolSection,
    Role,
    WorkerSection,
)
from node.config.showing import plain, to_toml

__all__ = [
    "BUILT_IN_NETWORK",
    "ApiSection",
    "Config",
    "EconomicsSection",
    "MarketSection",
    "NetworkConfig",
    "NetworkSection",
    "NodeConfig",
    "NodeSection",
    "P2PSection",
    "ProtocolSection",
    "Role",
    "WorkerSection",
    "load_config",
    "load_network",
    "plain",
    "to_toml",
]
