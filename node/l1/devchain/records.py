"""The chain on disk: blocks as they are served, an index of transactions, accounts, the tip.

A block and everything it changes are one batch, durable before anybody is told of the block.
"""

from collections.abc import Iterator, Mapping
from hashlib import sha256

import msgspec

from node.l1.devchain.chain import Proposal, Tip
from node.l1.devchain.config import DevChainConfig
from node.l1.devchain.holdings import Held
from node.l1.devchain.profiles import UPSTREAM
from node.l1.devchain.state import Account, State, Validator
from node.l1.errors import OtherChain
from storage.database import Database
from storage.store import Batch
from storage.tables import Table


class _BlockRecord(msgspec.Struct, frozen=True):
    content: bytes  # the JSON


class _PlaceRecord(msgspec.Struct, frozen=True):
    height: int


class _AccountRecord(msgspec.Struct, frozen=True):
    balance: str  # decimal: beyond what MessagePack's integers hold
    nonce: int


class _HeldRecord(msgspec.Struct, frozen=True):
    held: Held


class _ValidatorRecord(msgspec.Struct, frozen=True):
    content: bytes  # Validator as JSON


class _ChainRecord(msgspec.Struct, frozen=True):
    tip: Tip
    burned: str


class _IdentityRecord(msgspec.Struct, frozen=True):
    """What may not change under an existing chain."""

    chain_id: str
    network: str
    genesis: str
    proposer: str
    block_time_ms: int
    profile: str = UPSTREAM.name


class Records:
    """Reads and writes the chain's tables."""

    def __init__(self, db: Database) -> None:
        self._blocks = Table(db, "devchain-blocks", _BlockRecord)
        self._places = Table(db, "devchain-txs", _PlaceRecord)
        self._accounts = Table(db, "devchain-accounts", _AccountRecord)
        self._held = Table(db, "devchain-held", _HeldRecord, version=2)
        self._validators = Table(db, "devchain-validators", _ValidatorRecord)
        self._chain = Table(db, "devchain-tip", _ChainRecord)
        self._identity = Table(db, "devchain-identity", _IdentityRecord)

    def block(self, height: int) -> bytes | None:
        """A block's JSON."""
        record = self._blocks.get(_height_key(height))
        return None if record is None else record.content

    def place(self, digest: bytes) -> int | None:
        """The height of the block that holds a transaction."""
        record = self._places.get(digest)
        return None if record is None else record.height

    def load(self) -> tuple[State, Tip] | None:
        """The stored chain, if there is one."""
        chain = self._chain.get(b"")
        if chain is None:
            return None
        accounts = {
            key.decode(): Account(int(record.balance), record.nonce)
            for key, record in self._accounts.items()
        }
        held = {key.decode(): record.held for key, record in self._held.items()}
        state = State(accounts, self._stored_validators(), int(chain.burned), held)
        return state, chain.tip

    def begin(self, batch: Batch, config: DevChainConfig, state: State) -> None:
        """Add a new chain's genesis to a batch."""
        self._identity.put(batch, b"", _identity_of(config))
        for validator in state.validators.values():
            self._put_validator(batch, validator)
        self._put_accounts(batch, state.accounts)
        self._chain.put(batch, b"", _ChainRecord(Tip(), str(state.burned)))

    def add(self, batch: Batch, proposal: Proposal) -> bytes:
        """Add a block and all it changes to a batch; returns its JSON."""
        content = msgspec.json.encode(proposal.block)
        height = proposal.block.header.height
        self._blocks.put(batch, _height_key(height), _BlockRecord(content))
        for waiting in proposal.included:
            self._places.put(batch, waiting.digest, _PlaceRecord(height))
        self._put_accounts(batch, proposal.accounts)
        self._put_held(batch, proposal.held)
        self._put_validator(batch, proposal.proposer)
        self._chain.put(batch, b"", _ChainRecord(proposal.tip, str(proposal.burned)))
        return content

    def restore(self, batch: Batch, newer: State, newer_tip: Tip, state: State, tip: Tip) -> None:
        """Add the way back to an earlier state and tip to a batch; see `forget_place`."""
        for height in range(tip.height + 1, newer_tip.height + 1):
            self._blocks.delete(batch, _height_key(height))
        for address in newer.accounts.keys() - state.accounts.keys():
            self._accounts.delete(batch, address.encode())
        self._put_accounts(batch, state.accounts)
        gone = newer.holdings.records.keys() - state.holdings.records.keys()
        self._put_held(batch, {**dict.fromkeys(gone), **state.holdings.records})
        for validator in state.validators.values():
            self._put_validator(batch, validator)
        self._chain.put(batch, b"", _ChainRecord(tip, str(state.burned)))

    def forget_place(self, batch: Batch, digest: bytes) -> None:
        """Add to a batch that no block holds a transaction any more."""
        self._places.delete(batch, digest)

    def check_identity(self, config: DevChainConfig) -> None:
        """Compare the configuration with the stored chain; raises OtherChain."""
        stored, wanted = self._identity.get(b""), _identity_of(config)
        for field in reversed(wanted.__struct_fields__):  # the profile first, it is in the genesis
            if stored is not None and getattr(stored, field) != getattr(wanted, field):
                raise OtherChain(field)

    def _put_accounts(self, batch: Batch, accounts: dict[str, Account]) -> None:
        for address, account in accounts.items():
            record = _AccountRecord(str(account.balance), account.nonce)
            self._accounts.put(batch, address.encode(), record)

    def _put_held(self, batch: Batch, changes: Mapping[str, Held | None]) -> None:
        for key, record in changes.items():
            if record is None:
                self._held.delete(batch, key.encode())
            else:
                self._held.put(batch, key.encode(), _HeldRecord(record))

    def _put_validator(self, batch: Batch, validator: Validator) -> None:
        record = _ValidatorRecord(msgspec.json.encode(validator))
        self._validators.put(batch, validator.address.encode(), record)

    def _stored_validators(self) -> Iterator[Validator]:
        for _, record in self._validators.items():  # noqa: PERF102 - a table, not a dict
            yield msgspec.json.decode(record.content, type=Validator)


def _identity_of(config: DevChainConfig) -> _IdentityRecord:
    genesis = msgspec.json.encode(config.whole_genesis, order="deterministic")
    return _IdentityRecord(
        chain_id=config.chain_id,
        network=config.network,
        genesis=sha256(genesis).hexdigest(),
        proposer=config.proposer.validator_address,
        block_time_ms=config.block_time_ms,
        profile=config.profile.name,
    )


def _height_key(height: int) -> bytes:
    return height.to_bytes(8, "big")
