"""The development chain as one object: what its HTTP interface asks for, without HTTP."""

import logging
from collections.abc import Callable, Mapping

import trio

from node.l1.devchain.chain import Chain, Proposal, Tip
from node.l1.devchain.config import DevChainConfig
from node.l1.devchain.events import EventHub
from node.l1.devchain.holdings import Holdings
from node.l1.devchain.mempool import Mempool
from node.l1.devchain.misbehaviour import Misbehaviour
from node.l1.devchain.receipts import Receipts
from node.l1.devchain.records import Records
from node.l1.devchain.state import Account, State, Validator
from node.l1.transactions import Transaction
from storage.database import Database
from storage.store import Batch

log = logging.getLogger(__name__)

SWEEP_S = 30.0  # between looks for expired transactions, besides those at each block

Clock = Callable[[], float]


class DevChain:
    """Made by `open_chain`; every method belongs to the trio thread."""

    def __init__(
        self, config: DevChainConfig, db: Database, chain: Chain, records: Records, now: Clock
    ) -> None:
        self.config = config
        self.mempool = Mempool(config.rules, config.tx_ttl_s, config.profile)
        self.events = EventHub(late=bool(config.faults.late_events))
        self._db = db
        self._chain = chain
        self._records = records
        self._now = now
        self._receipts = Receipts(stuck=bool(config.faults.stuck_receipts))
        self._misbehaviour = Misbehaviour(
            config.faults, chain, records, self.mempool, self._receipts, db
        )

    @property
    def tip(self) -> Tip:
        """The newest block."""
        return self._chain.tip

    @property
    def epoch(self) -> int:
        """Blocks by the hundred."""
        return self._chain.epoch

    @property
    def validators(self) -> list[Validator]:
        """All validators, in order of their addresses."""
        return [one for _, one in sorted(self._chain.state.validators.items())]

    def submit(self, tx: Transaction) -> tuple[str, str]:
        """Take in a transaction: its hash, and why it is refused, empty if it is not."""
        now = self._now()
        digest, problem = self.mempool.admit(tx, self._chain.state, now, self._chain.trial)
        if not problem:
            self._receipts.pending(digest.hex(), now)
        return digest.hex(), problem

    def account(self, address: str) -> Account:
        """The confirmed account."""
        return self._chain.state.account(address)

    @property
    def holdings(self) -> Holdings:
        """The confirmed deposits, escrows and bonds."""
        return self._chain.state.holdings

    @property
    def burned(self) -> int:
        """Units: the chain's figure."""
        return self._chain.state.burned

    def first_free_nonce(self, address: str) -> int:
        """The first nonce that neither a block nor anything waiting has."""
        return self.mempool.first_free_nonce(address, self.account(address).nonce)

    def block(self, height: int) -> bytes | None:
        """A block's JSON."""
        return self._records.block(height) if 0 <= height <= self.tip.height else None

    def receipt(self, tx_hash: str) -> Mapping[str, object] | None:
        """What is known of a transaction: from memory, else from the index of the blocks."""
        receipt = self._receipts.get(tx_hash)
        if receipt is None:
            return self._indexed_receipt(tx_hash)
        fields: dict[str, object] = {
            "tx_hash": tx_hash,
            "status": receipt.status,
            "block_height": receipt.block_height,
            "timestamp": receipt.timestamp,
            "error": receipt.error,
        }
        if receipt.block_height is not None:
            fields["confirmations"] = self.tip.height - receipt.block_height + 1
        return fields

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Make a block whenever one is due, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._sweep)
            task_status.started()
            while True:
                await trio.sleep(self._chain.pause_at(self._now()))
                await self.produce()

    async def produce(self) -> None:
        """Make a block if its slot has come; it shows once it is durable."""
        round_number = self._chain.round_at(self._now())
        if round_number < 0:
            return
        self._misbehaviour.before_block()
        candidates = self.mempool.candidates(self.config.rules.max_block_txs)
        rewritten = self._misbehaviour.rewritten(candidates)
        proposal = self._chain.propose(rewritten, round_number)
        batch = Batch()
        self._records.add(batch, proposal)
        await self._db.commit(batch)
        self._misbehaviour.before(proposal)
        self._publish(proposal)
        await self._misbehaviour.after_block(self._now())

    def expire(self) -> None:
        """Forget transactions that have waited too long."""
        now = self._now()
        for expired in self.mempool.expire(now):
            self._receipts.expired(expired.tx_hash, now)
            fields = {"type": "tx_failed", "tx_hash": expired.tx_hash, "error": expired.error}
            self.events.emit(fields)

    def _publish(self, proposal: Proposal) -> None:
        height, now = proposal.block.header.height, self._now()
        self._chain.adopt(proposal)
        self.mempool.settle((*proposal.included, *proposal.dropped), self._chain.state)
        for waiting in proposal.included:
            tx_hash = waiting.tx_hash
            self._receipts.confirmed(tx_hash, height, now)
            self.events.emit({"type": "tx_confirmed", "tx_hash": tx_hash, "block_height": height})
        self.expire()

    def _indexed_receipt(self, tx_hash: str) -> Mapping[str, object] | None:
        try:
            height = self._records.place(bytes.fromhex(tx_hash))
        except ValueError:
            return None
        if height is None:
            return None
        return {
            "tx_hash": tx_hash,
            "status": "confirmed",
            "block_height": height,
            "timestamp": int(self._now()),
            "error": None,
        }

    async def _sweep(self) -> None:
        while True:
            await trio.sleep(SWEEP_S)
            self.expire()


async def open_chain(config: DevChainConfig, db: Database, now: Clock) -> DevChain:
    """Load the stored chain, or begin one.

    Raises:
        OtherChain: the stored chain was made with another configuration.
    """
    records = Records(db)
    records.check_identity(config)
    stored = records.load()
    if stored is None:
        stored = _genesis_state(config), Tip()
        batch = Batch()
        records.begin(batch, config, stored[0])
        await db.commit(batch)
    return DevChain(config, db, Chain(config, *stored), records, now)


def _genesis_state(config: DevChainConfig) -> State:
    accounts = {address: Account(units) for address, units in config.genesis.alloc.items()}
    return State(accounts, [Validator.of_genesis(one) for one in config.validators])
