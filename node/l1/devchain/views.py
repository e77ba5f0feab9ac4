"""Validators as the existing chain shows them.

With one proposer and no staking most of what it shows never changes; it is filled in here.
"""

from node.l1.devchain.node import DevChain
from node.l1.devchain.state import Validator

COMMISSION = 0.1


def validator_view(one: Validator) -> dict[str, object]:
    """The object of `/validators` and `/validator/{address}`."""
    return {
        "address": one.address,
        "pq_pub_key": one.pub_key,
        "power": one.power,
        "is_active": one.is_active,
        "reward_address": None,
        "name": None,
        "website": None,
        "description": None,
        "blocks_proposed": one.blocks_proposed,
        "blocks_expected": one.blocks_proposed,
        "missed_blocks": 0,
        "last_block_height": one.last_block_height,
        "uptime_score": 1.0,
        "performance_score": 1.0,
        "total_penalties": 0,
        "jailed_until_height": 0,
        "jail_count": 0,
        "joined_height": 0,
        "last_seen_height": one.last_block_height,
        "unstaking_queue": [],
        "commission_rate": COMMISSION,
        "self_stake": 0,
        "total_delegated": 0,
        "delegations": [],
    }


_PERFORMANCE = (
    "address",
    "is_active",
    "performance_score",
    "uptime_score",
    "blocks_proposed",
    "blocks_expected",
    "missed_blocks",
    "last_block_height",
    "power",
    "total_penalties",
    "jailed_until_height",
    "jail_count",
    "joined_height",
    "last_seen_height",
)

_RANKING = (
    "address",
    "is_active",
    "performance_score",
    "uptime_score",
    "power",
    "blocks_proposed",
    "blocks_expected",
    "missed_blocks",
)


def performance_view(one: Validator) -> dict[str, object]:
    """The object of `/validator/{address}/performance`."""
    view = validator_view(one)
    return {field: view[field] for field in _PERFORMANCE}


def leaderboard_view(chain: DevChain) -> dict[str, object]:
    """The object of `/validators/leaderboard`."""
    ranked = []
    for rank, one in enumerate(chain.validators, 1):
        view = validator_view(one)
        fields = {field: view[field] for field in _RANKING}
        ranked.append({"rank": rank, **fields, "jailed": False, "jail_count": 0})
    return {"epoch": chain.epoch, "current_height": chain.tip.height, "leaderboard": ranked}
