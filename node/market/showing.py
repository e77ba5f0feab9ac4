"""Records as the views that a customer sees."""

from collections import Counter

import msgspec

from node.amounts import Amount
from node.market.appealbook import AppealRecord
from node.market.outcomes import OutcomeRecord
from node.market.tasks import TaskRecord
from node.market.views import (
    AccountView,
    AppealView,
    CheckShare,
    EntryView,
    OutputView,
    PassedJuror,
    PayoutView,
    PostingView,
    Problem,
    ProofView,
    ResultView,
    TaskView,
    WorkerShare,
)
from node.settlement import accounts
from node.settlement.credit import CreditView
from node.settlement.ledger import Ledger
from node.settlement.public_audit import Shown
from node.verification.evidence import work_of
from node.verification.proofs import artifact_of
from node.verification.receipt import result_hash_of
from node.verification.statements import addresses_of
from p2p.identity import peer_id_of


def task_view(
    record: TaskRecord,
    outcome: OutcomeRecord | None,
    appeal: AppealRecord | None,
    appeal_fee: Amount | None,
) -> TaskView:
    """A task, with its result if it has one, and the dispute about it."""
    return TaskView(
        task_id=record.task_id,
        challenge_type=record.kind,
        status=record.status,
        phase=record.phase,
        reward=record.reward,
        created_at_ms=record.created_ms,
        deadline_ms=record.deadline_ms,
        payload=msgspec.json.decode(record.payload),
        account=record.account,
        epoch=record.epoch,
        jobs=record.jobs,
        error=Problem(record.error_code, record.error_text) if record.error_code else None,
        result=_result_view(record, outcome, appeal_fee) if outcome else None,
        appeal=_appeal_view(appeal) if appeal else None,
    )


def _appeal_view(appeal: AppealRecord) -> AppealView:
    return AppealView(
        reason=appeal.reason,
        fee=appeal.jury.fee,
        appealed_at_ms=appeal.at_ms,
        deadline_ms=appeal.jury.expires_ms,
        jury=tuple(seat.address for seat in appeal.jury.seats),
        rulings=len(appeal.rulings),
        outcome=appeal.outcome,
        passed=tuple(PassedJuror(peer_id_of(o.key), o.reason) for o in appeal.jury.passed),
    )


def account_view(
    ledger: Ledger, credit: CreditView, reserved: int, deposit_address: str
) -> AccountView:
    """The account that has the credit, with the `reserved` units of its open tasks and appeals."""
    address = credit.address
    return AccountView(
        address=address,
        available=Amount(max(0, ledger.balance(accounts.customer(address)))),
        reserved=Amount(reserved),
        earned=Amount(
            ledger.balance(accounts.worker(address)) + ledger.balance(accounts.validator(address))
        ),
        deposit_address=deposit_address,
        credit_limit=credit.limit,
        owed=credit.owed,
        credit_backer=credit.backer if credit.limit else "",
        bonded=Amount(ledger.balance(accounts.bond(address))),
        unbonding=Amount(ledger.balance(accounts.unbonding(address))),
    )


def payout_view(shown: Shown) -> PayoutView:
    """A payout's entries."""
    entries = tuple(
        EntryView(
            cause=entry.cause,
            kind=entry.kind,
            at_ms=entry.at_ms,
            number=entry.sequence,
            postings=tuple(PostingView(one.account, one.amount) for one in entry.postings),
        )
        for entry in shown.entries
    )
    return PayoutView(shown.account, entries)


def _result_view(
    record: TaskRecord, outcome: OutcomeRecord, appeal_fee: Amount | None
) -> ResultView:
    shares = Counter(result.worker_address for result in outcome.results)
    ranked = sorted(shares.items(), key=lambda one: (-one[1], one[0]))
    return ResultView(
        result_hash=result_hash_of(outcome.results).hex(),
        worker_address=ranked[0][0],
        completed_at_ms=outcome.completed_ms,
        pay_due_ms=record.pay_due_ms,
        outputs=_output_views(outcome),
        workers=tuple(WorkerShare(address, jobs) for address, jobs in ranked),
        validators=_validators(outcome),
        orchestrator=outcome.orchestrator,
        checks=tuple(CheckShare(one.address, one.count) for one in outcome.checks),
        proofs=_proof_views(outcome),
        appeal_fee=appeal_fee,
    )


def _output_views(outcome: OutcomeRecord) -> tuple[OutputView, ...]:
    """All outputs; with several jobs their indices tell equal names apart."""
    several = len(outcome.jobs) > 1
    return tuple(
        OutputView(f"{index}-{one.name}" if several else one.name, one.sha256.hex(), one.size)
        for index, job in enumerate(outcome.jobs)
        for one in job.judgement.manifest.outputs
    )


def _proof_views(outcome: OutcomeRecord) -> tuple[ProofView, ...]:
    views = []
    for index, job in enumerate(outcome.jobs):
        draw = job.judgement.draw
        work = work_of(draw.kind, draw.parameters)
        if work.proof_system is not None:
            artifact = artifact_of(draw, job.result)
            digest = artifact.sha256.hex() if artifact else ""
            views.append(ProofView(index, work.proof_system.name.lower(), work.proof_bytes, digest))
    return tuple(views)


def _validators(outcome: OutcomeRecord) -> tuple[str, ...]:
    """Addresses behind the verdicts that carry the result, each once."""
    found: dict[str, None] = {}
    for job in outcome.jobs:
        judgement = job.judgement
        carrying = [one for one in judgement.verdicts if one.finding == "valid"]
        found |= dict.fromkeys(addresses_of(judgement.draw, carrying))
    return tuple(found)
