"""ESCROW_OPEN and ESCROW_SETTLE: many escrows in one transaction, each as if it were alone in it.

What they have in common stands once, and the rest in short rows, so that an escrow costs a tenth of
the gas that it would cost by itself.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated

import msgspec

from node.amounts import Amount
from node.l1.errors import BadPayload
from node.l1.escrow.forms import (
    MAX_MEMBERS,
    MAX_WORKERS,
    Approvals,
    Claim,
    Digest,
    Form,
    Number,
    Opening,
    OpeningTerms,
    Payee,
    TaskId,
)

MAX_ESCROWS = 256
"""Escrows that one transaction opens, or settles."""
MAX_PAYEES = 1024
"""Accounts that one transaction pays by claims."""


class TaskRow(Form, frozen=True, array_like=True):
    """A task of an ESCROW_OPEN: an array, for there are many."""

    task_id: TaskId
    customer: Number
    """Its place among the customers."""
    amount: Amount
    deadline: Number


class Openings(OpeningTerms, frozen=True, kw_only=True):
    """ESCROW_OPEN: the escrows of some tasks, which have nothing else in common afterwards."""

    customers: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=MAX_ESCROWS)]
    """Strictly rising, each that of a task."""
    tasks: Annotated[tuple[TaskRow, ...], msgspec.Meta(min_length=1, max_length=MAX_ESCROWS)]
    """By strictly rising ids."""

    @property
    def each(self) -> tuple[Opening, ...]:
        """One for each task."""
        terms = self.named
        return tuple(
            Opening(
                task_id=row.task_id,
                customer=self.customers[row.customer],
                amount=row.amount,
                deadline=row.deadline,
                **terms,
            )
            for row in self.tasks
        )

    @classmethod
    def of(cls, openings: Iterable[Opening]) -> "Openings":
        """The form that opens these, of which there is one at least, all under the same terms;
        raises BadPayload."""
        ordered = sorted(openings, key=lambda one: one.task_id)
        terms = ordered[0].named
        if any(one.named != terms for one in ordered):
            raise BadPayload("tasks", "are not all under the same terms")
        customers = sorted({one.customer for one in ordered})
        places = {customer: place for place, customer in enumerate(customers)}
        rows = (
            TaskRow(one.task_id, places[one.customer], one.amount, one.deadline) for one in ordered
        )
        return cls(customers=tuple(customers), tasks=tuple(rows), **terms)


class ShareRow(Form, frozen=True, array_like=True):
    """A `Payee` of an ESCROW_SETTLE."""

    payee: Number
    """Its place among the payees."""
    weight: Number


class ClaimRow(Form, frozen=True, array_like=True):
    """An escrow's `Claim` in an ESCROW_SETTLE: an array, for there are many."""

    escrow_id: Digest
    workers: Annotated[tuple[ShareRow, ...], msgspec.Meta(min_length=1, max_length=MAX_WORKERS)]
    validators: Annotated[tuple[ShareRow, ...], msgspec.Meta(max_length=MAX_MEMBERS)]
    orchestrator: Number
    results: Digest


class Settlement(Form, frozen=True, kw_only=True):
    """ESCROW_SETTLE, by anybody: some escrows are paid out as one quorum of all of them signed."""

    payees: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=MAX_PAYEES)]
    """Strictly rising, each that of a claim."""
    claims: Annotated[tuple[ClaimRow, ...], msgspec.Meta(min_length=1, max_length=MAX_ESCROWS)]
    """By strictly rising escrows."""
    signatures: Approvals

    @property
    def each(self) -> dict[str, Claim]:
        """Each escrow's claim."""
        return {row.escrow_id: self._claim(row) for row in self.claims}

    @classmethod
    def of(cls, claims: Mapping[str, Claim], signatures: Approvals) -> "Settlement":
        """The form that settles these escrows, of which there is one at least."""
        payees = sorted({address for claim in claims.values() for address in claim.addresses})
        places = {address: place for place, address in enumerate(payees)}

        def rows(of: Sequence[Payee]) -> tuple[ShareRow, ...]:
            return tuple(ShareRow(places[one.address], one.weight) for one in of)

        return cls(
            payees=tuple(payees),
            claims=tuple(
                ClaimRow(
                    escrow_id,
                    rows(claim.workers),
                    rows(claim.validators),
                    places[claim.orchestrator],
                    claim.results,
                )
                for escrow_id, claim in sorted(claims.items())
            ),
            signatures=signatures,
        )

    def _claim(self, row: ClaimRow) -> Claim:
        def payees(shares: Sequence[ShareRow]) -> tuple[Payee, ...]:
            return tuple(Payee(address=self.payees[one.payee], weight=one.weight) for one in shares)

        return Claim(
            workers=payees(row.workers),
            validators=payees(row.validators),
            orchestrator=self.payees[row.orchestrator],
            results=row.results,
        )
