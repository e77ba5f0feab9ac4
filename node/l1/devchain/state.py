"""The state of the chain: accounts and validators, their root, fees and rewards."""

import json
from collections.abc import Iterable, Mapping
from hashlib import sha256
from types import MappingProxyType
from typing import TypeVar

import msgspec

from node.l1.blocks import l1_merkle_root
from node.l1.devchain.config import GenesisValidator
from node.l1.devchain.holdings import Held, Holdings
from node.l1.keys import address_of

TREASURY = "cpc1treasury" + "0" * 42
"""A label that no key owns; it collects a tenth of the fees."""

BLOCK_REWARD = 10 * 10**18
HALVING_BLOCKS = 1_000_000
PROPOSER_REWARD_PERCENT = 70  # the rest, the miners' pool, is burned until there are payouts
PROPOSER_FEE_PERCENT = 90
TREASURY_FEE_PERCENT = 10

EMPTY_ROOT = sha256(b"").hexdigest()

_NOTHING: Mapping[str, Held] = MappingProxyType({})
T = TypeVar("T")


class Account(msgspec.Struct, frozen=True):
    """Of any text whatever that was ever credited."""

    balance: int = 0
    nonce: int = 0


class Validator(msgspec.Struct, frozen=True, kw_only=True):
    """A validator; what never changes on a chain of one proposer is filled in when shown."""

    address: str
    pub_key: str
    power: int
    is_active: bool
    blocks_proposed: int = 0
    last_block_height: int = 0

    @classmethod
    def of_genesis(cls, validator: GenesisValidator) -> "Validator":
        """As it is before block 0."""
        return cls(
            address=validator.address,
            pub_key=validator.pub_key,
            power=validator.power,
            is_active=validator.is_active,
        )

    @property
    def reward_address(self) -> str:
        """The account that gets its rewards."""
        return address_of(bytes.fromhex(self.pub_key))


class State:
    """The confirmed state, with the leaves of its root kept ready."""

    def __init__(
        self,
        accounts: Mapping[str, Account],
        validators: Iterable[Validator],
        burned: int = 0,
        held: Mapping[str, Held] = _NOTHING,
    ) -> None:
        self.accounts = dict(accounts)
        self.validators = {validator.address: validator for validator in validators}
        self.burned = burned
        """Units: a figure, as on the existing chain; nothing is checked against it."""
        self.holdings = Holdings(held)
        self._leaves = {name: account_leaf(name, one) for name, one in self.accounts.items()}
        self._order = sorted(self._leaves)

    def account(self, address: str) -> Account:
        """An account; one that never was is empty."""
        return self.accounts.get(address, _NEW)

    def copy(self) -> "State":
        """A state of its own with the same content."""
        twin = State({}, self.validators.values(), self.burned)
        twin.accounts, twin.holdings = dict(self.accounts), self.holdings.copy()
        twin._leaves, twin._order = dict(self._leaves), self._order
        return twin

    def root(
        self, changes: Mapping[str, Account], held: Mapping[str, Held | None] = _NOTHING
    ) -> str:
        """The state root as it would be with some accounts changed, and some of what is held."""
        fresh = {address: account_leaf(address, one) for address, one in changes.items()}
        added = [address for address in fresh if address not in self._leaves]
        order = sorted([*self._order, *added]) if added else self._order
        leaves = [fresh.get(address) or self._leaves[address] for address in order]
        leaves += [validator_leaf(self.validators[name]) for name in sorted(self.validators)]
        holdings = self.holdings.root(held)
        leaves += [holdings] if holdings else []
        return l1_merkle_root(leaves).hex() if leaves else EMPTY_ROOT

    def adopt(
        self,
        changes: Mapping[str, Account],
        proposer: Validator,
        burned: int,
        held: Mapping[str, Held | None] = _NOTHING,
    ) -> None:
        """Take over what a block changed."""
        self.holdings.adopt(held)
        self.accounts.update(changes)
        self.validators[proposer.address] = proposer
        self.burned = burned
        self._leaves.update({name: account_leaf(name, one) for name, one in changes.items()})
        if len(self._leaves) > len(self._order):
            self._order = sorted(self._leaves)


class Overlay:
    """Changes on top of a state, which stays as it is."""

    def __init__(self, state: State) -> None:
        self.changes: dict[str, Account] = {}
        self.held: dict[str, Held | None] = {}
        """Records that are new, or gone."""
        self.burned = 0
        """Units that transactions burned, beside what rewards and fees leave."""
        self._state = state

    def account(self, address: str) -> Account:
        """An account with the changes so far."""
        return self.changes.get(address) or self._state.account(address)

    def credit(self, address: str, units: int) -> None:
        """Add to a balance."""
        before = self.account(address)
        self.changes[address] = Account(before.balance + units, before.nonce)

    def spend(self, address: str, units: int) -> None:
        """Take from a balance and use up a nonce."""
        before = self.account(address)
        self.changes[address] = Account(before.balance - units, before.nonce + 1)

    def find(self, key: str, kind: type[T]) -> T | None:
        """A record that is held, with the changes so far, if it is of this kind."""
        record = self.held[key] if key in self.held else self._state.holdings.records.get(key)
        return record if isinstance(record, kind) else None

    def hold(self, key: str, record: Held | None) -> None:
        """Put a record, or take it away."""
        self.held[key] = record

    def reward(self, height: int, fees: int, proposer: Validator) -> int:
        """Share out a block's reward and fees; returns the units burned."""
        reward = BLOCK_REWARD >> height // HALVING_BLOCKS
        kept = reward * PROPOSER_REWARD_PERCENT // 100 + fees * PROPOSER_FEE_PERCENT // 100
        treasury = fees * TREASURY_FEE_PERCENT // 100
        self.credit(proposer.reward_address, kept)
        if treasury:
            self.credit(TREASURY, treasury)
        return reward + fees - kept - treasury


def account_leaf(address: str, account: Account) -> bytes:
    """The leaf of an account under the state root."""
    return _leaf(
        "acc:",
        {
            "address": address,
            "balance": account.balance,
            "nonce": account.nonce,
            "reward_history": {},
            "unbonding_delegations": [],
        },
    )


def validator_leaf(validator: Validator) -> bytes:
    """The leaf of a validator; its fields are our own choice, for nobody can check them."""
    return _leaf("val:", msgspec.structs.asdict(validator))


def _leaf(kind: str, fields: Mapping[str, object]) -> bytes:
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return sha256((kind + text).encode()).digest()


_NEW = Account()
