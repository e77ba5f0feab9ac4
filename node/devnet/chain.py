"""`tmnode devchain`: the development L1 over a directory with its key, genesis and state."""

import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from node.amounts import UNITS_PER_CPC
from node.config.values import HostPort
from node.keys import load_or_make_keys
from node.l1.devchain.config import DevChainConfig, Genesis, read_genesis
from node.l1.devchain.faults import Faults
from node.l1.devchain.profiles import UPSTREAM, Profile
from node.l1.escrow import MarketParameters
from node.lifetime import begin, open_stop_signal, ready
from node.logs import configure_logging

CHAIN_ID = "cpc-devnet-1"
PREMINE_CPC = 1_000_000_000
"""What the proposer's account has on a chain that was not given a genesis."""


def write_genesis(
    directory: Path, alloc: Mapping[str, int], market: MarketParameters | None
) -> None:
    """Write the genesis of a new chain; one that exists is left as it is.

    `market` has the parameters of one that holds money, each of which the file then states.
    """
    path = directory / "genesis.json"
    if not path.exists():
        stated = msgspec.UNSET if market is None else market
        genesis = Genesis(alloc=dict(alloc), genesis_time=int(time.time()), market=stated)
        path.write_bytes(msgspec.json.format(msgspec.json.encode(genesis)))


def profile_named(name: str) -> Profile:
    """The rules of a chain: `upstream`, or `market`, which verifies results and holds money."""
    from node.verification.onchain import MarketProfile

    return MarketProfile(CHAIN_ID) if name == MarketProfile.name else UPSTREAM


async def run_devchain(
    directory: Path, listen: HostPort, block_time_s: float, profile: str, faults: Faults
) -> None:
    """Serve the chain until SIGINT or SIGTERM; prints `ready …` once it answers."""
    from node.l1.devchain.run import open_devchain

    begin()
    configure_logging("info", "l1")
    proposer = load_or_make_keys(directory).account
    market = None if profile == UPSTREAM.name else MarketParameters()
    write_genesis(directory, {proposer.address: PREMINE_CPC * UNITS_PER_CPC}, market)
    config = DevChainConfig(
        proposer=proposer,
        genesis=read_genesis((directory / "genesis.json").read_bytes()),
        data_dir=directory,
        host=listen.host,
        port=listen.port,
        chain_id=CHAIN_ID,
        block_time_s=block_time_s,
        faults=faults,
        profile=profile_named(profile),
    )
    async with open_stop_signal() as stop, open_devchain(config) as served:
        ready()
        print(f"ready l1 {served.url}", flush=True)
        await stop.wait()
