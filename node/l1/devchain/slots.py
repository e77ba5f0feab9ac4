"""Where in the chain a transaction about held money is tried."""

from typing import NamedTuple

from node.l1.devchain.profiles import Profile
from node.l1.escrow import MarketParameters


class Slot(NamedTuple):
    """The block that is being made, and by which rules."""

    chain_id: str
    height: int
    parameters: MarketParameters
    profile: Profile
