"""The price of work: `base_price + work_units * price_per_tera_unit / 10^12`, rounded up.

It is never below `min_reward`, of which the validators' part still covers the L1 fees.
"""

from node.amounts import Amount, format_cpc
from node.config import NetworkConfig
from node.errors import InvalidInput, RewardBelowQuote

TERA = 10**12


def price(work_units: int, *, base: int, per_tera: int, least: int = 0) -> Amount:
    """Units of 10^-18 CPC for `work_units` multiply-adds, `least` at the least."""
    return Amount(max(least, base - (-work_units * per_tera // TERA)))


def appeal_price(network: NetworkConfig, work_units: int) -> Amount:
    """What an appeal costs whose task takes so many units: a whole jury computes it again."""
    economics = network.economics
    once = price(work_units, base=economics.base_price, per_tera=economics.price_per_tera_unit)
    return Amount(max(1, network.protocol.quorum_size * once))


def check_reward(reward: int, *, quoted: int, highest: int) -> None:
    """Raise RewardBelowQuote or InvalidInput naming `reward`."""
    if reward < quoted:
        raise RewardBelowQuote(
            f"{format_cpc(reward)} CPC is below the price of this work",
            field="reward",
            remedy=f"offer at least {format_cpc(quoted)}",
        )
    if reward > highest:
        raise InvalidInput(
            f"{format_cpc(reward)} CPC is above this network's limit",
            field="reward",
            remedy=f"offer at most {format_cpc(highest)}",
        )
