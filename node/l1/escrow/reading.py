"""Payloads of the market's transactions, read strictly: what is wrong is named by its field.

Sizes first, then types, then meaning. Signatures are not verified here, and nothing of the chain's
state is looked at.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from node.l1.errors import BadPayload
from node.l1.escrow.checks import check_account, check_amount, check_rising, check_signers
from node.l1.escrow.forms import (
    Appealing,
    Award,
    Awarding,
    Bonding,
    CustomerWithdrawal,
    Depositing,
    MarketWithdrawal,
    Refund,
    Slashing,
    Unbonding,
)
from node.l1.escrow.gas import payload_bytes
from node.l1.escrow.payloads import Payload
from node.l1.escrow.places import named
from node.l1.escrow.row_checks import check_openings, check_settlement
from node.l1.escrow.rows import Openings, Settlement
from node.l1.transactions import Transaction

_FORMS: dict[str, type[Payload]] = {
    "DEPOSIT": Depositing,
    "ESCROW_OPEN": Openings,
    "ESCROW_SETTLE": Settlement,
    "ESCROW_REFUND": Refund,
    "ESCROW_APPEAL": Appealing,
    "ESCROW_RULE": Awarding,
    "BOND": Bonding,
    "UNBOND": Unbonding,
    "SLASH": Slashing,
}
_WITH_AMOUNT = ("DEPOSIT", "BOND")
_NAMED_IN: dict[str, tuple[str, ...]] = {
    "inconclusive": (),
    "upheld": ("jurors",),
    "overturned": ("jurors", "false", "culprits"),
}
"""Whom and what an award has to name, by its outcome; the rest has to be empty."""


def read(tx: Transaction) -> Payload:
    """The payload of a transaction of one of `gas.TYPES`.

    Raises:
        BadPayload: the field that is wrong, and how.
        NotCanonical: it has no canonical JSON.
    """
    check_account("from_address", tx.from_address)
    return read_parts(tx.tx_type, tx.to_address, tx.amount, tx.payload)


def read_parts(
    tx_type: str, to_address: str | None, amount: int, payload: dict[str, object]
) -> Payload:
    """The same of what a transaction is to be before it has a sender."""
    payload_bytes(tx_type, payload)
    _check_outside(tx_type, to_address, amount)
    form = _converted(tx_type, payload)
    _CHECKS.get(type(form), _passed)(form)
    return form


def check_award(award: Award, field: str = "award") -> None:
    """What the types of an award do not say; raises BadPayload."""
    named = {"jurors": award.jurors, "false": award.false, "culprits": award.culprits}
    wanted = _NAMED_IN[award.outcome]
    for name, values in named.items():
        if bool(values) != (name in wanted):
            problem = "is needed" if name in wanted else "has to be empty"
            raise BadPayload(f"{field}.{name}", f"{problem} where the outcome is {award.outcome}")
        check_rising(f"{field}.{name}", values)
    if len(award.keys) != len(award.culprits):
        raise BadPayload(f"{field}.keys", "are not one of each culprit")
    for name in ("jurors", "culprits"):
        for index, address in enumerate(named[name]):
            check_account(f"{field}.{name}[{index}]", address)


def _check_outside(tx_type: str, to_address: str | None, amount: int) -> None:
    """The transaction's own fields: what a type does not use has to be empty."""
    if tx_type in _WITH_AMOUNT:
        check_amount("amount", amount)
    elif amount:
        raise BadPayload("amount", f"must be 0 in {tx_type}, or it would go to nobody")
    if tx_type in _WITH_AMOUNT:
        check_account("to_address", to_address or "")
    elif to_address:
        raise BadPayload("to_address", f"must be empty in {tx_type}")


def _converted(tx_type: str, payload: dict[str, object]) -> Payload:
    form = _FORMS.get(tx_type) or _withdrawal_of(payload)
    for name, value in payload.items():
        if value is None:  # else what is left out would have two forms
            raise BadPayload(name, "must not be null")
    try:
        return msgspec.convert(payload, form, dec_hook=_from_wire)
    except msgspec.ValidationError as error:
        place, problem = named(str(error), form)
        raise BadPayload(place or "payload", problem) from error


def _withdrawal_of(payload: dict[str, object]) -> type[Payload]:
    return CustomerWithdrawal if "market" in payload else MarketWithdrawal


def _from_wire(kind: type[Any], value: object) -> object:
    return kind.from_wire(value)


def _check_withdrawal(payload: MarketWithdrawal) -> None:
    check_account("customer", payload.customer)
    check_amount("amount", payload.amount)


def _check_refund(payload: Refund) -> None:
    check_signers(payload.signatures)


def _check_awarding(payload: Awarding) -> None:
    check_award(payload.award)
    if tuple(one.address for one in payload.acts) != payload.award.culprits:
        raise BadPayload("acts", "are not one of each culprit, in their order")
    check_signers(payload.signatures)


def _check_appealing(payload: Appealing) -> None:
    check_amount("fee", payload.fee)


def _check_unbonding(payload: Unbonding) -> None:
    check_account("market", payload.market)
    check_amount("amount", payload.amount)


def _check_slashing(payload: Slashing) -> None:
    check_account("market", payload.market)
    check_account("offender", payload.offender)


def _check_depositing(payload: Depositing) -> None:
    if payload.customer is not None:
        check_account("customer", payload.customer)


def _passed(_payload: Any) -> None:
    """Its types say everything."""


_CHECKS: dict[type, Callable[[Any], None]] = {
    MarketWithdrawal: _check_withdrawal,
    CustomerWithdrawal: lambda one: check_account("market", one.market),
    Openings: check_openings,
    Settlement: check_settlement,
    Refund: _check_refund,
    Appealing: _check_appealing,
    Awarding: _check_awarding,
    Depositing: _check_depositing,
    Unbonding: _check_unbonding,
    Slashing: _check_slashing,
}
