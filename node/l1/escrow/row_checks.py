"""ESCROW_OPEN and ESCROW_SETTLE, as far as their types do not say it; raises BadPayload."""

from collections.abc import Sequence

from node.errors import ConfigError
from node.l1.errors import BadPayload
from node.l1.escrow.checks import (
    check_account,
    check_accounts,
    check_amount,
    check_place,
    check_rising,
    check_signers,
    check_used,
)
from node.l1.escrow.forms import OpeningTerms
from node.l1.escrow.rows import ClaimRow, Openings, Settlement


def check_openings(payload: Openings) -> None:
    """What the types of an ESCROW_OPEN do not say."""
    _check_terms(payload)
    check_accounts("customers", payload.customers)
    for index, row in enumerate(payload.tasks):
        check_amount(f"tasks[{index}].amount", row.amount)
        check_place(f"tasks[{index}].customer", row.customer, "customers", payload.customers)
    check_rising("tasks", [row.task_id for row in payload.tasks])
    used = {row.customer for row in payload.tasks}
    check_used("customers", used, payload.customers, "of a task")


def check_settlement(payload: Settlement) -> None:
    """What the types of an ESCROW_SETTLE do not say."""
    check_accounts("payees", payload.payees)
    used: set[int] = set()
    for index, row in enumerate(payload.claims):
        used |= _check_claim_row(f"claims[{index}]", row, payload.payees)
    check_rising("claims", [row.escrow_id for row in payload.claims])
    check_used("payees", used, payload.payees, "of a claim")
    check_signers(payload.signatures)


def _check_claim_row(field: str, row: ClaimRow, payees: Sequence[str]) -> set[int]:
    """A row's own form; returns the places that it names."""
    check_place(f"{field}.orchestrator", row.orchestrator, "payees", payees)
    places = {row.orchestrator}
    for name, shares in (("workers", row.workers), ("validators", row.validators)):
        for index, share in enumerate(shares):
            check_place(f"{field}.{name}[{index}].payee", share.payee, "payees", payees)
        own = [share.payee for share in shares]
        check_rising(f"{field}.{name}", own)
        places.update(own)
    if not any(share.weight for share in row.workers):
        raise BadPayload(f"{field}.workers", "have no weight; the escrow is to be refunded")
    return places


def _check_terms(terms: OpeningTerms) -> None:
    """What the types of an ESCROW_OPEN's terms do not say; raises BadPayload."""
    check_amount("fee_reserve", terms.fee_reserve, least=0)
    for index, member in enumerate(terms.validators):
        check_account(f"validators[{index}].address", member.address)
    check_rising("validators", [member.public_key for member in terms.validators])
    if not 1 <= terms.k <= len(terms.validators):
        raise BadPayload("k", f"is {terms.k} of {len(terms.validators)} validators")
    try:
        _ = terms.shares.shares
    except ConfigError as error:
        raise BadPayload("shares", error.message) from error
