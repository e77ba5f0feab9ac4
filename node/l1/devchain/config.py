"""What makes a development chain."""

from pathlib import Path
from typing import Literal

import msgspec

from node.amounts import MAX_AMOUNT
from node.l1.devchain.faults import Faults
from node.l1.devchain.profiles import UPSTREAM, Profile
from node.l1.errors import BadGenesis
from node.l1.escrow import MarketParameters
from node.l1.escrow.places import named
from node.l1.keys import AccountKey, address_of
from node.l1.transactions import MIN_GAS_PRICE
from node.split import BASIS_POINTS

Network = Literal["devnet", "testnet", "mainnet"]

SHORTEST_BLOCK_TIME_S = 0.05
MAX_HEIGHT = 2**63 - 1
DEFAULT_POWER = 2_000 * 10**18
"""Units staked by the proposer if the genesis names no validators."""


class Rules(msgspec.Struct, frozen=True):
    """What differs between the chain's networks."""

    block_gas_limit: int
    max_block_txs: int
    min_gas_price: int


RULES: dict[Network, Rules] = {
    "devnet": Rules(50_000_000, 500, MIN_GAS_PRICE),
    "testnet": Rules(15_000_000, 1_000, 5_000),
    "mainnet": Rules(30_000_000, 5_000, 10**9),
}


class GenesisValidator(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A validator of the first block."""

    address: str
    """`cpcvalcons1…`"""
    pub_key: str
    power: int
    is_active: bool = True


class Genesis(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The genesis file, which is this struct as JSON."""

    alloc: dict[str, int]
    """Units of 10^-18 CPC by address."""
    validators: tuple[GenesisValidator, ...] = ()
    """Empty: the proposer alone."""
    genesis_time: int
    """Seconds since 1970: the slot of block 0."""
    market: MarketParameters | msgspec.UnsetType = msgspec.UNSET
    """Of deposits, escrows and bonds, if not the usual; for the `market` profile."""

    @property
    def market_parameters(self) -> MarketParameters:
        """Its own, or the usual ones."""
        return _USUAL if self.market is msgspec.UNSET else self.market


class DevChainConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Everything `open_devchain` needs."""

    proposer: AccountKey
    """Signs all blocks; the account of the same key gets the rewards."""
    genesis: Genesis
    data_dir: Path
    host: str = "127.0.0.1"
    port: int = 8000
    """0 for any free port."""
    chain_id: str = "cpc-devnet-1"
    network: Network = "devnet"
    block_time_s: float = 5.0
    tx_ttl_s: float = 3_600.0
    profile: Profile = UPSTREAM
    """Whose rules: the existing chain's, or stricter ones."""
    faults: Faults = Faults()

    @property
    def rules(self) -> Rules:
        """The rules of its network."""
        return RULES[self.network]

    @property
    def whole_genesis(self) -> Genesis:
        """What makes the chain what it is: usual parameters are the same said or left out."""
        if not self.profile.types:
            return self.genesis
        return msgspec.structs.replace(self.genesis, market=self.genesis.market_parameters)

    @property
    def block_time_ms(self) -> int:
        """Milliseconds, so that slots add up exactly."""
        return round(self.block_time_s * 1000)

    @property
    def validators(self) -> tuple[GenesisValidator, ...]:
        """The genesis' validators, or the proposer alone."""
        key = self.proposer
        alone = GenesisValidator(key.validator_address, key.public_key.hex(), DEFAULT_POWER)
        return self.genesis.validators or (alone,)


def read_genesis(content: bytes) -> Genesis:
    """A genesis file; raises BadGenesis for what it does not have or what is not known in one."""
    try:
        return msgspec.json.decode(content, type=Genesis)
    except msgspec.ValidationError as error:
        place, problem = named(str(error), Genesis)
        raise BadGenesis(place or "genesis", problem) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadGenesis("genesis", f"is no JSON: {error}") from error


def check_config(config: DevChainConfig) -> None:
    """Raises BadGenesis for what makes no chain."""
    genesis = config.genesis
    if genesis.genesis_time <= 0:
        raise BadGenesis("genesis_time", "must be a time in seconds since 1970")
    if config.block_time_s < SHORTEST_BLOCK_TIME_S:
        raise BadGenesis("block_time_s", f"must be at least {SHORTEST_BLOCK_TIME_S}")
    if any(amount < 0 for amount in genesis.alloc.values()):
        raise BadGenesis("alloc", "amounts may not be negative")
    if config.profile.types and sum(genesis.alloc.values()) > MAX_AMOUNT:
        raise BadGenesis("alloc", f"is more than {MAX_AMOUNT} units, which can be held")
    if genesis.market is not msgspec.UNSET and not config.profile.types:
        raise BadGenesis("market", f"a chain of the profile {config.profile.name} holds no money")
    _check_market(genesis.market_parameters)
    for validator in config.validators:
        _check_validator(validator)
    active = [validator.address for validator in config.validators if validator.is_active]
    if config.proposer.validator_address not in active:
        raise BadGenesis("validators", "the proposer must be one of them, and active")


def _check_market(parameters: MarketParameters) -> None:
    for field in parameters.__struct_fields__:
        if not 1 <= getattr(parameters, field) <= MAX_HEIGHT:
            raise BadGenesis(f"market.{field}", f"must be from 1 to {MAX_HEIGHT}")
    if parameters.slash_bp > BASIS_POINTS:
        raise BadGenesis("market.slash_bp", f"must be at most {BASIS_POINTS}")


def _check_validator(validator: GenesisValidator) -> None:
    try:
        derived = address_of(bytes.fromhex(validator.pub_key), "cpcvalcons")
    except ValueError:
        derived = ""
    if derived != validator.address or validator.power <= 0:
        raise BadGenesis("validators", f"{validator.address} has another key, or no power")


_USUAL = MarketParameters()
