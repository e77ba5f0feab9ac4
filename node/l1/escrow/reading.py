"""Payloads of the market's transactions, read strictly: what is wrong is named by its field.

Sizes first, then types, then meaning. Signatures are not verified here, and nothing of the chain's
state is looked at.
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import msgspec

from node.amounts import MAX_AMOUNT
from node.errors import ConfigError
from node.l1.errors import BadAddress, BadPayload
from node.l1.escrow.forms import (
    Appealing,
    Award,
    Awarding,
    Bonding,
    Claim,
    CustomerWithdrawal,
    Depositing,
    MarketWithdrawal,
    Opening,
    Payee,
    Payload,
    Refund,
    Settlement,
    Slashing,
    Unbonding,
)
from node.l1.escrow.gas import payload_bytes
from node.l1.keys import check_address
from node.l1.transactions import Transaction

_FORMS: dict[str, type[Payload]] = {
    "DEPOSIT": Depositing,
    "ESCROW_OPEN": Opening,
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
_PLACE = re.compile(r"^(?P<problem>.*?)(?: - at `\$\.?(?P<place>.*)`)?\Z", re.DOTALL)
_NAMED = re.compile(r"(?P<problem>unknown|missing required) field `(?P<name>.*)`\Z", re.DOTALL)


def read(tx: Transaction) -> Payload:
    """The payload of a transaction of one of `gas.TYPES`.

    Raises:
        BadPayload: the field that is wrong, and how.
        NotCanonical: it has no canonical JSON.
    """
    _check_account("from_address", tx.from_address)
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


def check_opening(opening: Opening) -> None:
    """What the types of an ESCROW_OPEN do not say; raises BadPayload."""
    _check_account("customer", opening.customer)
    _check_amount("amount", opening.amount)
    _check_amount("fee_reserve", opening.fee_reserve, least=0)
    for index, member in enumerate(opening.validators):
        _check_account(f"validators[{index}].address", member.address)
    _check_rising("validators", [member.public_key for member in opening.validators])
    if not 1 <= opening.k <= len(opening.validators):
        raise BadPayload("k", f"is {opening.k} of {len(opening.validators)} validators")
    try:
        _ = opening.shares.shares
    except ConfigError as error:
        raise BadPayload("shares", error.message) from error


def check_claim(claim: Claim, field: str = "claim") -> None:
    """What the types of a claim do not say; raises BadPayload."""
    _check_payees(f"{field}.workers", claim.workers)
    _check_payees(f"{field}.validators", claim.validators)
    _check_account(f"{field}.orchestrator", claim.orchestrator)
    if not any(worker.weight for worker in claim.workers):
        raise BadPayload(f"{field}.workers", "have no weight; the escrow is to be refunded")


def check_award(award: Award, field: str = "award") -> None:
    """What the types of an award do not say; raises BadPayload."""
    named = {"jurors": award.jurors, "false": award.false, "culprits": award.culprits}
    wanted = _NAMED_IN[award.outcome]
    for name, values in named.items():
        if bool(values) != (name in wanted):
            problem = "is needed" if name in wanted else "has to be empty"
            raise BadPayload(f"{field}.{name}", f"{problem} where the outcome is {award.outcome}")
        _check_rising(f"{field}.{name}", values)
    if len(award.keys) != len(award.culprits):
        raise BadPayload(f"{field}.keys", "are not one of each culprit")
    for name in ("jurors", "culprits"):
        for index, address in enumerate(named[name]):
            _check_account(f"{field}.{name}[{index}]", address)


def _check_outside(tx_type: str, to_address: str | None, amount: int) -> None:
    """The transaction's own fields: what a type does not use has to be empty."""
    if tx_type in _WITH_AMOUNT:
        _check_amount("amount", amount)
    elif amount:
        raise BadPayload("amount", f"must be 0 in {tx_type}, or it would go to nobody")
    if tx_type in _WITH_AMOUNT:
        _check_account("to_address", to_address or "")
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
        place, problem = named(str(error))
        raise BadPayload(place or "payload", problem) from error


def _withdrawal_of(payload: dict[str, object]) -> type[Payload]:
    return CustomerWithdrawal if "market" in payload else MarketWithdrawal


def _from_wire(kind: type[Any], value: object) -> object:
    return kind.from_wire(value)


def named(message: str) -> tuple[str, str]:
    """Where msgspec's message says that something is wrong, and what."""
    found = _PLACE.match(message)
    assert found is not None
    problem, place = found["problem"], found["place"] or ""
    named = _NAMED.search(problem)
    if named:
        place = f"{place}.{named['name']}".lstrip(".")
        problem = "is not known here" if named["problem"] == "unknown" else "is missing"
    return place, problem


def _check_withdrawal(payload: MarketWithdrawal) -> None:
    _check_account("customer", payload.customer)
    _check_amount("amount", payload.amount)


def _check_settlement(payload: Settlement) -> None:
    check_claim(payload.claim)
    _check_signers(payload)


def _check_awarding(payload: Awarding) -> None:
    check_award(payload.award)
    if tuple(one.address for one in payload.acts) != payload.award.culprits:
        raise BadPayload("acts", "are not one of each culprit, in their order")
    _check_signers(payload)


def _check_appealing(payload: Appealing) -> None:
    _check_amount("fee", payload.fee)


def _check_unbonding(payload: Unbonding) -> None:
    _check_account("market", payload.market)
    _check_amount("amount", payload.amount)


def _check_slashing(payload: Slashing) -> None:
    _check_account("market", payload.market)
    _check_account("offender", payload.offender)


def _check_depositing(payload: Depositing) -> None:
    if payload.customer is not None:
        _check_account("customer", payload.customer)


def _check_signers(payload: Settlement | Refund | Awarding) -> None:
    _check_rising("signatures", [one.public_key for one in payload.signatures])


def _check_payees(field: str, payees: Sequence[Payee]) -> None:
    for index, payee in enumerate(payees):
        _check_account(f"{field}[{index}].address", payee.address)
    _check_rising(field, [payee.address for payee in payees])


def _check_rising(field: str, keys: Sequence[str]) -> None:
    """Sorted and distinct, so that there is one form of everything."""
    if any(one >= other for one, other in pairwise(keys)):
        raise BadPayload(field, "are not in strictly rising order")


def _check_amount(field: str, units: int, *, least: int = 1) -> None:
    if not least <= units <= MAX_AMOUNT:
        raise BadPayload(field, f"is not {least} to {MAX_AMOUNT} units")


def _check_account(field: str, text: str) -> None:
    try:
        _kept_check(text)
    except BadAddress as error:
        raise BadPayload(field, str(error)) from error


def _passed(_payload: Any) -> None:
    """Its types say everything."""


_kept_check = lru_cache(maxsize=4096)(check_address)
"""A checksum costs more than all the rest, and addresses come again and again."""

_CHECKS: dict[type, Callable[[Any], None]] = {
    MarketWithdrawal: _check_withdrawal,
    CustomerWithdrawal: lambda one: _check_account("market", one.market),
    Opening: check_opening,
    Settlement: _check_settlement,
    Refund: _check_signers,
    Appealing: _check_appealing,
    Awarding: _check_awarding,
    Depositing: _check_depositing,
    Unbonding: _check_unbonding,
    Slashing: _check_slashing,
}
