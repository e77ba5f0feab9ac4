"""A whole network of real processes on this machine: for the demo, for development, for tests.

`layout` writes keys, genesis and configuration files into a directory, `processes` starts and
stops the programs, `network` puts them together, `demo` buys tasks from it and shows the money.
"""

from node.devnet.demo import run_demo
from node.devnet.network import DevnetOptions, open_devnet, run_devnet

__all__ = ["DevnetOptions", "open_devnet", "run_demo", "run_devnet"]
