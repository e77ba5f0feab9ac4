"""When verified results are put on the L1: by their number, their age, and the break-even of a fee.

A batch of n results costs the gas of one transaction, so it saves that of n - 1. Waiting for more
costs nothing but time, and everybody has the output already; what waits is the receipt. So a result
waits for `result_batch_s` for others to come, and goes on waiting

- while an earlier transaction of the same validator is not in a block: a second one would, mostly,
  be in the same block and cost as much again;
- while the validator earns less than `WORTH` times the fee by what waits: f = gas * gas price, and
  a result earns w = reward * validators' share * orchestrator's share, so the break-even is at
  n = WORTH * f / w results;

but for `result_batch_longest_s` at most, and not if there are `max_result_batch` results.
"""

from typing import Final, NamedTuple

from node.config import EconomicsSection, NetworkConfig
from node.l1.transactions import GAS
from node.split import BASIS_POINTS
from node.verification.batches import MAX_BATCH

WORTH: Final = 10
"""So that the L1 gets at most a tenth of what a validator earns by its batches."""


class Waiting(NamedTuple):
    """The results that the next batch would have."""

    results: int
    since_ms: int
    """When the oldest was verified."""
    earns: int
    """Units."""


class BatchRules(NamedTuple):
    """A network's rules for batches."""

    most: int
    """Results in one."""
    age_s: float
    longest_s: float
    fee: int
    """Units that the L1 takes for it."""

    def due_in(self, waiting: Waiting, under_way: bool, now_ms: int) -> float:
        """Seconds until a batch of what waits is to be sent, 0 if it is now; `under_way` says
        whether an earlier one is in no confirmed block yet."""
        if waiting.results >= self.most:
            return 0.0
        patient = under_way or waiting.earns < WORTH * self.fee
        wait_s = max(self.age_s, self.longest_s) if patient else self.age_s
        return max(0.0, wait_s - (now_ms - waiting.since_ms) / 1000)


def batch_rules(config: NetworkConfig) -> BatchRules:
    """What a network file says."""
    protocol = config.protocol
    return BatchRules(
        most=min(MAX_BATCH, protocol.max_result_batch),
        age_s=protocol.result_batch_s,
        longest_s=protocol.result_batch_longest_s,
        fee=GAS["SUBMIT_RESULT"] * config.economics.gas_price,
    )


def orchestrator_share(reward: int, economics: EconomicsSection) -> int:
    """Units of a reward that its orchestrator gets for sure, before the fee reserve."""
    part = reward * economics.validator_bp // BASIS_POINTS
    return part * economics.orchestrator_bp // BASIS_POINTS
