"""Blocks: when their slots are, and how they come out of the state and the pool.

The slot of height h and round r is at genesis_time + block_time × (h + r). Rounds count slots
missed, up to ten; after a pause the chain makes up for them with a block each fifth of the block
time (at most a second), their rounds falling to 0. Block times may be fractions of a second; a
header's timestamp is its slot's time, rounded down to the second.
"""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from node.l1.blocks import (
    BEFORE_FIRST,
    NO_TXS_ROOT,
    Block,
    Header,
    block_digest,
    block_hash,
    compute_root,
    l1_merkle_root,
)
from node.l1.devchain import bonds, held
from node.l1.devchain.config import DevChainConfig
from node.l1.devchain.execution import Dropped, TooEarly, execute
from node.l1.devchain.holdings import Held
from node.l1.devchain.mempool import Waiting
from node.l1.devchain.slots import Slot
from node.l1.devchain.state import Account, Overlay, State, Validator
from node.l1.errors import BadTransaction
from node.l1.transactions import Transaction

MAX_ROUND = 10
EPOCH_BLOCKS = 100
CATCH_UP_SHARE = 5
LONGEST_CATCH_UP_S = 1.0


class Tip(msgspec.Struct, frozen=True):
    """The newest block."""

    height: int = -1
    block_hash: str = BEFORE_FIRST


class Proposal(NamedTuple):
    """A block that is made and not yet part of the chain, and all it changes."""

    block: Block
    included: tuple[Waiting, ...]
    dropped: tuple[Waiting, ...]
    accounts: dict[str, Account]
    held: dict[str, Held | None]
    proposer: Validator
    burned: int
    """The chain's whole burned figure after this block."""

    @property
    def tip(self) -> Tip:
        """The tip it makes."""
        return Tip(self.block.header.height, block_hash(self.block.header))


class Chain:
    """The confirmed chain. `propose` changes nothing; `adopt` takes over what it made."""

    def __init__(self, config: DevChainConfig, state: State, tip: Tip) -> None:
        self.state = state
        self.tip = tip
        self._config = config

    @property
    def epoch(self) -> int:
        """Blocks by the hundred."""
        return max(self.tip.height, 0) // EPOCH_BLOCKS

    def round_at(self, now: float) -> int:
        """The next block's round at a time in seconds since 1970; negative before its slot."""
        elapsed_ms = int(now * 1000) - self._config.genesis.genesis_time * 1000
        slot = elapsed_ms // self._config.block_time_ms
        return min(slot - (self.tip.height + 1), MAX_ROUND)

    def pause_at(self, now: float) -> float:
        """Seconds until the next block is due, if one was just made."""
        wait = self._slot_ms(self.tip.height + 1, 0) / 1000 - now
        hurried = min(LONGEST_CATCH_UP_S, self._config.block_time_s / CATCH_UP_SHARE)
        return wait if wait > 0 else hurried

    def trial(self, tx: Transaction) -> str:
        """Why the next block could not hold a transaction about held money, as far as the confirmed
        state goes without its sender's balance; empty if it could."""
        try:
            held.apply(tx, Overlay(self.state), self._slot)
        except BadTransaction as error:
            return f"rejected: {error}"
        return ""

    def propose(self, candidates: Iterable[Waiting], round_number: int) -> Proposal:
        """Make the next block of the candidates that can be applied."""
        overlay, rules, slot = Overlay(self.state), self._config.rules, self._slot
        bonds.release(overlay, slot.height)
        included: list[Waiting] = []
        dropped: list[Waiting] = []
        gas, fees = 0, 0
        for waiting in candidates:
            if gas + waiting.gas > rules.block_gas_limit:
                break
            try:
                fees += execute(waiting.tx, waiting.gas, overlay, slot)
            except TooEarly:
                continue
            except Dropped:
                dropped.append(waiting)
            else:
                gas += waiting.gas
                included.append(waiting)
        block = self._block(included, overlay, round_number, gas)
        return self._rewarded(block, included, dropped, overlay, fees)

    def adopt(self, proposal: Proposal) -> None:
        """Make a proposal the tip."""
        self.state.adopt(proposal.accounts, proposal.proposer, proposal.burned, proposal.held)
        self.tip = proposal.tip

    def restore(self, state: State, tip: Tip) -> None:
        """Go back to an earlier state and tip."""
        self.state, self.tip = state, tip

    def _block(
        self, included: list[Waiting], overlay: Overlay, round_number: int, gas_used: int
    ) -> Block:
        config, height = self._config, self.tip.height + 1
        txs = tuple(waiting.tx for waiting in included)
        digests = [waiting.digest for waiting in included]
        header = Header(
            height=height,
            prev_hash=self.tip.block_hash,
            timestamp=self._slot_ms(height, round_number) // 1000,
            chain_id=config.chain_id,
            proposer_address=config.proposer.validator_address,
            round=round_number,
            tx_root=l1_merkle_root(digests).hex() if digests else NO_TXS_ROOT,
            state_root=self.state.root(overlay.changes, overlay.held),
            compute_root=compute_root(txs),
            gas_used=gas_used,
            gas_limit=config.rules.block_gas_limit,
        )
        signature = config.proposer.sign_digest(block_digest(header)).hex()
        return Block(header=header, txs=txs, pq_signature=signature)

    def _rewarded(
        self,
        block: Block,
        included: list[Waiting],
        dropped: list[Waiting],
        overlay: Overlay,
        fees: int,
    ) -> Proposal:
        """Share out reward and fees, which show in the state root of the next block."""
        height = block.header.height
        before = self.state.validators[self._config.proposer.validator_address]
        burned = overlay.reward(height, fees, before)
        after = msgspec.structs.replace(
            before, blocks_proposed=before.blocks_proposed + 1, last_block_height=height
        )
        return Proposal(
            block,
            tuple(included),
            tuple(dropped),
            overlay.changes,
            overlay.held,
            after,
            self.state.burned + burned + overlay.burned,
        )

    @property
    def _slot(self) -> Slot:
        """Of the next block."""
        config = self._config
        parameters = config.genesis.market_parameters
        return Slot(config.chain_id, self.tip.height + 1, parameters, config.profile)

    def _slot_ms(self, height: int, round_number: int) -> int:
        slots = self._config.block_time_ms * (height + round_number)
        return self._config.genesis.genesis_time * 1000 + slots
