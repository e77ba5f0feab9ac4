"""Transactions as they come over HTTP.

Nearly all have exactly the schema's types and are read by msgspec. Whatever differs, decimal
strings for integers for example, or is wrong, goes through the same pydantic model as on the
existing chain, so that it is understood, or refused, in the same words.
"""

import json
from collections.abc import Set
from enum import StrEnum
from typing import Any, Generic, TypeVar

import msgspec
from pydantic import BaseModel

from node.l1.transactions import Transaction


class TxType(StrEnum):
    """All types that the schema knows; the order is that of the error message."""

    TRANSFER = "TRANSFER"
    STAKE = "STAKE"
    UNSTAKE = "UNSTAKE"
    POC_REWARD = "POC_REWARD"
    SUBMIT_RESULT = "SUBMIT_RESULT"
    UPDATE_VALIDATOR = "UPDATE_VALIDATOR"
    DELEGATE = "DELEGATE"
    UNDELEGATE = "UNDELEGATE"
    UNJAIL = "UNJAIL"


class HeldTxType(StrEnum):
    """The types that only a chain of the `market` profile knows besides."""

    DEPOSIT = "DEPOSIT"
    WITHDRAW = "WITHDRAW"
    ESCROW_OPEN = "ESCROW_OPEN"
    ESCROW_SETTLE = "ESCROW_SETTLE"
    ESCROW_REFUND = "ESCROW_REFUND"
    ESCROW_APPEAL = "ESCROW_APPEAL"
    ESCROW_RULE = "ESCROW_RULE"
    BOND = "BOND"
    UNBOND = "UNBOND"
    SLASH = "SLASH"


KnownType = TypeVar("KnownType", bound=TxType | HeldTxType)


class LooseTransaction(BaseModel, Generic[KnownType]):
    """A transaction as pydantic reads it."""

    tx_type: KnownType
    from_address: str
    to_address: str | None = None
    amount: int
    fee: int = 0
    nonce: int
    signature: str = ""
    pub_key: str = ""
    payload: dict[str, Any] = {}
    gas_price: int = 0
    gas_limit: int = 0

    def exact(self) -> Transaction:
        """The transaction it means."""
        return Transaction(**{**self.model_dump(), "tx_type": str(self.tx_type)})


def read_exact(body: bytes, more_types: Set[str] = frozenset()) -> Transaction | None:
    """The transaction in a body whose every field has its proper type, else None.

    `more_types` are those that the existing chain does not know.

    msgspec refuses NaN, numbers beyond all bounds and half surrogate pairs by itself.
    """
    try:
        tx = _EXACT.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return tx if tx.tx_type in _TYPES or tx.tx_type in more_types else None


def unstorable(body: bytes) -> str:
    """Why a body that is JSON cannot be stored; empty if it can, or is no JSON at all.

    The existing chain accepts these, and then stores another payload or loses the block.
    """
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        return "half of a surrogate pair cannot be stored"
    except ValueError:
        return "NaN and infinities cannot be stored"
    return ""


_EXACT = msgspec.json.Decoder(Transaction)
_TYPES = frozenset(TxType)
