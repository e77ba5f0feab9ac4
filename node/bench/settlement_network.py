"""The parts of a network that move money: a chain, a market, and validators that submit."""

from pathlib import Path

import trio

from node.amounts import UNITS_PER_CPC
from node.bench.settlement_results import author_of, keys_of
from node.config import NetworkConfig
from node.keys import NodeKeys
from node.l1.devchain.config import DevChainConfig, Genesis
from node.l1.devchain.direct import DirectClient
from node.l1.devchain.node import DevChain, open_chain
from node.l1.devchain.profiles import UPSTREAM
from node.l1.follower import Follower
from node.l1.keys import AccountKey
from node.l1.sender import Sender
from node.roles.submitter import Submitter
from node.settlement.backend import back_end_of
from node.settlement.escrow import EscrowSettlement
from node.settlement.transfer import TransferSettlement
from node.verification.onchain import MarketProfile
from p2p.memory import MemoryHub, virtual_clock_ms
from storage.database import Database, open_database
from storage.memory import MemoryStore

CUSTOMER, MARKET = keys_of(1), keys_of(2)
VALIDATORS = tuple(keys_of(number) for number in range(10, 13))
WORKERS = tuple(keys_of(number) for number in range(20, 23))
PROPOSER = AccountKey(b"\x55" * 32)
FUNDS = 10**6 * UNITS_PER_CPC
BLOCK_S = 1.0
"""As `tmnode devnet` has it."""


def market_of(
    config: NetworkConfig, db: Database, client: DirectClient
) -> tuple[Sender, Follower, TransferSettlement | EscrowSettlement]:
    """A market's money, its way to the chain and its ear there."""
    confirmations, address = config.protocol.l1_confirmations, MARKET.account.address
    sender = Sender(MARKET.account, db, client, confirmations=confirmations)
    market = back_end_of(
        config, db, sender, address=address, clock_ms=virtual_clock_ms, chain=client
    )
    sender.on_confirmed, sender.on_lost = market.outbox.on_confirmed, market.outbox.on_lost
    deposits = Follower(client, db, market.deposits.handle, confirmations=confirmations)
    return sender, deposits, market


async def run_validator(
    config: NetworkConfig,
    keys: NodeKeys,
    hub: MemoryHub,
    client: DirectClient,
    *,
    task_status: trio.TaskStatus[tuple[Submitter, Database]],
) -> None:
    """A validator that does nothing but submit; tells its submitter and database."""
    chain_id, market = config.network.chain_id, f"/memory/{MARKET.identity.peer_id}"
    async with (
        open_database(MemoryStore()) as db,
        hub.open_network(keys.identity, chain_id, bootstrap=[market]) as network,
        trio.open_nursery() as nursery,
    ):
        sender = Sender(keys.account, db, client, confirmations=config.protocol.l1_confirmations)
        submitter = Submitter(
            network=network,
            db=db,
            author=author_of(keys, chain_id),
            config=config,
            sender=sender,
            now_ms=virtual_clock_ms,
        )
        sender.on_confirmed, sender.on_lost = submitter.on_confirmed, submitter.on_lost
        for part in (sender.run, submitter.run):
            await nursery.start(part)
        task_status.started((submitter, db))


async def chain_of(db: Database, config: NetworkConfig) -> DevChain:
    """A chain on which the customer and the validators have money, and a market that needs some."""
    chain_id, is_held = config.network.chain_id, config.economics.settlement == "escrow"
    funded = (CUSTOMER, *VALIDATORS, *((MARKET,) if is_held else ()))
    rules = DevChainConfig(
        proposer=PROPOSER,
        genesis=Genesis(
            alloc={keys.account.address: FUNDS for keys in funded},
            genesis_time=virtual_clock_ms() // 1000,
        ),
        data_dir=Path("unused"),
        chain_id=chain_id,
        block_time_s=BLOCK_S,
        profile=MarketProfile(chain_id) if is_held else UPSTREAM,
    )
    return await open_chain(rules, db, lambda: virtual_clock_ms() / 1000)
