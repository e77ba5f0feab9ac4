"""Transactions of the L1: the fields, their hash, our signature, and builders with an exact fee.

The hash covers the fields without separators between them, so that digits can wander from one to
the next under the same signature. Hence two rules: the builders state exactly the fee that is
charged, and whoever finds a transaction in a block compares its fields, not only its hash.
"""

from collections.abc import Mapping
from hashlib import sha256

import msgspec

from node.l1.canonical import canonical_payload, compute_leaf_json
from node.l1.errors import BadTransaction
from node.l1.keys import AccountKey, check_address

GAS: Mapping[str, int] = {
    "TRANSFER": 21_000,
    "STAKE": 40_000,
    "UNSTAKE": 40_000,
    "SUBMIT_RESULT": 80_000,
    "UPDATE_VALIDATOR": 30_000,
    "DELEGATE": 35_000,
    "UNDELEGATE": 35_000,
    "UNJAIL": 50_000,
}
"""Gas of each type of transaction."""

MIN_GAS_PRICE = 1_000
"""Units of 10^-18 CPC per gas: the devnet's minimum."""


class Transaction(msgspec.Struct, frozen=True, kw_only=True):
    """A transaction with the L1's own field names, in the order in which the L1 prints them."""

    tx_type: str
    from_address: str
    to_address: str | None = None
    amount: int
    """Units of 10^-18 CPC, like `fee`."""
    fee: int = 0
    nonce: int
    signature: str = ""
    pub_key: str = ""
    payload: dict[str, object] = {}
    gas_price: int = 0
    gas_limit: int = 0


def tx_digest(tx: Transaction) -> bytes:
    """The 32 bytes that are signed and that name the transaction; raises NotCanonical."""
    fields = (
        tx.tx_type,
        tx.from_address,
        tx.to_address or "",
        str(tx.amount),
        str(tx.fee),
        str(tx.nonce),
        str(tx.gas_price),
        str(tx.gas_limit),
        canonical_payload(tx.payload),
        tx.pub_key,
    )
    try:
        return sha256("".join(fields).encode()).digest()
    except UnicodeEncodeError as error:
        raise BadTransaction("a field holds half of a surrogate pair") from error


def tx_hash(tx: Transaction) -> str:
    """The digest in hex, as the L1 writes it."""
    return tx_digest(tx).hex()


def sign(tx: Transaction, key: AccountKey) -> Transaction:
    """The transaction with its sender's public key and signature.

    Raises:
        BadTransaction: the key is not the sender's, or the payload has no canonical form.
    """
    if tx.from_address != key.address:
        raise BadTransaction(f"{key.address} cannot sign for {tx.from_address}")
    keyed = msgspec.structs.replace(tx, pub_key=key.public_key.hex())
    signature = key.sign_digest(tx_digest(keyed)).hex()
    return msgspec.structs.replace(keyed, signature=signature)


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """What a transaction is to do; sender and nonce come with the signature."""

    tx_type: str
    to_address: str | None = None
    amount: int = 0
    payload: dict[str, object] = {}
    gas_price: int = MIN_GAS_PRICE
    gas: int | None = None
    """If it is not that of its type: on a chain that verifies what it holds."""

    def signed(self, key: AccountKey, nonce: int) -> Transaction:
        """The signed transaction, with exactly the fee that is charged.

        Raises:
            BadTransaction: the chain would reject or silently drop it, or not store it as sent.
        """
        gas = GAS[self.tx_type] if self.gas is None else self.gas
        tx = Transaction(
            tx_type=self.tx_type,
            from_address=key.address,
            to_address=self.to_address,
            amount=self.amount,
            fee=gas * self.gas_price,
            nonce=nonce,
            payload=self.payload,
            gas_price=self.gas_price,
            gas_limit=gas,
        )
        if nonce < 0:
            raise BadTransaction("a nonce may not be negative")
        if self.tx_type == "SUBMIT_RESULT":
            check_result(tx)
        return sign(tx, key)


def transfer(
    to: str,
    amount: int,
    *,
    gas_price: int = MIN_GAS_PRICE,
    payload: dict[str, object] | None = None,
    label: bool = False,
) -> Draft:
    """A TRANSFER of `amount` units of 10^-18 CPC.

    `label` says that `to` is text which no key can own, such as a burn address.

    Raises:
        BadAddress: `to` is no address, and is not said to be a label.
        BadTransaction: the chain takes no such amount.
    """
    if not label:
        check_address(to)
    if amount < 1 or not to:
        raise BadTransaction("a TRANSFER needs a recipient and at least one unit")
    return Draft(
        tx_type="TRANSFER",
        to_address=to,
        amount=amount,
        payload=payload or {},
        gas_price=gas_price,
    )


def submit_result(result: dict[str, object], *, gas_price: int = MIN_GAS_PRICE) -> Draft:
    """A SUBMIT_RESULT of a ComputeResult by its own `worker_address`; extra fields are allowed."""
    return Draft(tx_type="SUBMIT_RESULT", payload=result, gas_price=gas_price)


def check_result(tx: Transaction) -> None:
    """The proposer's rules for a SUBMIT_RESULT; raises BadTransaction."""
    compute_leaf_json(tx.payload)
    if tx.payload["worker_address"] != tx.from_address:
        raise BadTransaction("worker_address must be the sender's own")
