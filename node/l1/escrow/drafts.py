"""Builders of the market's transactions: drafts with exactly the gas that the chain takes.

Each raises BadPayload for what the chain would refuse by its form.
"""

from collections.abc import Iterable, Mapping

import msgspec

from node.amounts import Amount
from node.l1.escrow.claims import in_order
from node.l1.escrow.forms import (
    Act,
    Appealing,
    Approval,
    Award,
    Awarding,
    Binding,
    Bonding,
    Claim,
    CustomerWithdrawal,
    Depositing,
    Form,
    MarketWithdrawal,
    Opening,
    Refund,
    Slashing,
    Unbonding,
)
from node.l1.escrow.gas import GAS_PER_SIGNATURE, gas_of, gas_of_parts, payload_bytes
from node.l1.escrow.reading import read_parts
from node.l1.escrow.rows import Openings, Settlement
from node.l1.transactions import MIN_GAS_PRICE, Draft


def deposit(
    market: str, amount: int, *, customer: str | None = None, gas_price: int = MIN_GAS_PRICE
) -> Draft:
    """Money of the sender's, held by the chain for what it, or `customer`, buys at a market."""
    form = Depositing(customer=customer)
    return _draft("DEPOSIT", form, to_address=market, amount=amount, gas_price=gas_price)


def withdraw_for(customer: str, amount: int, *, gas_price: int = MIN_GAS_PRICE) -> Draft:
    """A market gives a customer's deposit back, at once."""
    form = MarketWithdrawal(customer=customer, amount=Amount(amount))
    return _draft("WITHDRAW", form, gas_price=gas_price)


def withdraw_all(market: str, *, gas_price: int = MIN_GAS_PRICE) -> Draft:
    """A customer gives notice; sent again when that has run out, it pays all that is left."""
    return _draft("WITHDRAW", CustomerWithdrawal(market=market), gas_price=gas_price)


def open_escrow(opening: Opening, *, gas_price: int = MIN_GAS_PRICE) -> Draft:
    """A market binds a part of a customer's deposit to a task."""
    return open_escrows((opening,), gas_price=gas_price)


def open_escrows(openings: Iterable[Opening], *, gas_price: int = MIN_GAS_PRICE) -> Draft:
    """The same for some tasks, 1 to `MAX_ESCROWS`, all under the same terms."""
    return _draft("ESCROW_OPEN", Openings.of(openings), gas_price=gas_price)


def settle_escrow(
    escrow_id: str,
    claim: Claim,
    approvals: Iterable[Approval],
    *,
    gas_price: int = MIN_GAS_PRICE,
) -> Draft:
    """Pay an escrow out; see `sign_claim`. More signatures than needed only cost gas."""
    return settle_escrows({escrow_id: claim}, approvals, gas_price=gas_price)


def settle_escrows(
    claims: Mapping[str, Claim],
    approvals: Iterable[Approval],
    *,
    gas_price: int = MIN_GAS_PRICE,
) -> Draft:
    """Pay some escrows out, by their ids; see `sign_claims`, and `bundles` for how many fit."""
    form = Settlement.of(claims, in_order(approvals))
    return _draft("ESCROW_SETTLE", form, gas_price=gas_price)


def refund_escrow(
    escrow_id: str, approvals: Iterable[Approval] = (), *, gas_price: int = MIN_GAS_PRICE
) -> Draft:
    """Give an escrow back to the deposit: with signatures (`sign_refund`), or when it is late."""
    form = Refund(escrow_id=escrow_id, signatures=in_order(approvals))
    return _draft("ESCROW_REFUND", form, gas_price=gas_price)


def appeal_escrow(
    escrow_id: str, fee: int, deadline: int, *, gas_price: int = MIN_GAS_PRICE
) -> Draft:
    """A market's customer disputes a result, for a fee, until the block of height `deadline`."""
    form = Appealing(escrow_id=escrow_id, fee=Amount(fee), deadline=deadline)
    return _draft("ESCROW_APPEAL", form, gas_price=gas_price)


def rule_escrow(
    escrow_id: str,
    award: Award,
    acts: Iterable[Act],
    approvals: Iterable[Approval],
    *,
    gas_price: int = MIN_GAS_PRICE,
) -> Draft:
    """Decide a dispute; see `sign_award`."""
    ordered = tuple(sorted(acts, key=lambda one: one.address))
    form = Awarding(escrow_id=escrow_id, award=award, acts=ordered, signatures=in_order(approvals))
    return _draft("ESCROW_RULE", form, gas_price=gas_price)


def bond(market: str, amount: int, binding: Binding, *, gas_price: int = MIN_GAS_PRICE) -> Draft:
    """Money of the sender's that vouches for its node's key at a market."""
    form = Bonding.of(binding)
    return _draft("BOND", form, to_address=market, amount=amount, gas_price=gas_price)


def unbond(market: str, amount: int, *, gas_price: int = MIN_GAS_PRICE) -> Draft:
    """Take from the sender's bond; it is paid out after the chain's unbonding time."""
    form = Unbonding(market=market, amount=Amount(amount))
    return _draft("UNBOND", form, gas_price=gas_price)


def slash(
    market: str,
    offender: str,
    evidence: Mapping[str, object],
    *,
    signatures: int,
    proof_gas: int = 0,
    gas_price: int = MIN_GAS_PRICE,
) -> Draft:
    """Show what a key bonded at a market did; `node.verification.offences` makes the evidence."""
    form = Slashing(market=market, offender=offender, evidence=dict(evidence))
    return _draft("SLASH", form, signatures=signatures, more_gas=proof_gas, gas_price=gas_price)


def _draft(
    tx_type: str,
    form: Form,
    *,
    to_address: str | None = None,
    amount: int = 0,
    signatures: int = 0,
    more_gas: int = 0,
    gas_price: int,
) -> Draft:
    """The draft of a form that the chain can read."""
    payload = msgspec.json.decode(msgspec.json.encode(form, enc_hook=Amount.to_wire))
    read = read_parts(tx_type, to_address, amount, payload)
    parts = gas_of_parts(read) + GAS_PER_SIGNATURE * signatures
    gas = gas_of(tx_type, payload_bytes(tx_type, payload), parts) + more_gas
    return Draft(
        tx_type=tx_type,
        to_address=to_address,
        amount=amount,
        payload=payload,
        gas_price=gas_price,
        gas=gas,
    )
