"""A development chain as a process of its own.

`devchain_program.py DIRECTORY PORT GENESIS_TIME [market]`, the last for that profile, with times
of a few blocks. Keys 1 to 4 (the number as 32 bytes) have a million CPC each; prints its URL once
it answers.
"""

import sys
from pathlib import Path

import msgspec
import trio

from node.l1.devchain.config import DevChainConfig, Genesis
from node.l1.devchain.profiles import UPSTREAM
from node.l1.devchain.run import open_devchain
from node.l1.escrow import MarketParameters
from node.l1.keys import AccountKey
from node.lifetime import open_stop_signal
from node.verification.onchain import MarketProfile

QUICK = MarketParameters(deposit_notice_blocks=2, unbonding_blocks=3, slash_bp=5_000)


def key_of(number: int) -> AccountKey:
    return AccountKey(number.to_bytes(32, "big"))


def main() -> None:
    directory, port, genesis_time, *profile = sys.argv[1:]
    config = DevChainConfig(
        proposer=key_of(99),
        genesis=Genesis(
            alloc={key_of(number).address: 10**24 for number in range(1, 5)},
            genesis_time=int(genesis_time),
            market=QUICK if profile else msgspec.UNSET,
        ),
        profile=MarketProfile("cpc-devnet-1") if profile else UPSTREAM,
        data_dir=Path(directory),
        port=int(port),
        block_time_s=0.2,
    )
    trio.run(serve, config)


async def serve(config: DevChainConfig) -> None:
    async with open_stop_signal() as stop, open_devchain(config) as served:
        print(served.url, flush=True)  # noqa: T201 - it is the protocol
        await stop.wait()


if __name__ == "__main__":
    main()
