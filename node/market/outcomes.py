"""What completed a task: each job's judgement, and where on the chain its result is."""

from collections.abc import Mapping

import msgspec

from node.verification.batches import leaf_of
from node.verification.statements import ComputeResult, Judgement


class JobOutcome(msgspec.Struct, frozen=True):
    """A job's valid result with all verdicts about it."""

    judgement: Judgement
    batch: str = ""
    """Batch id once the result is anchored."""
    index: int = 0
    """Leaf of the batch."""

    @property
    def result(self) -> ComputeResult:
        """The worker's signed result."""
        return self.judgement.result


class Checks(msgspec.Struct, frozen=True):
    """How many checks of a task one validator signed."""

    address: str
    count: int


class OutcomeRecord(msgspec.Struct, frozen=True):
    """Kept apart from the task, since only its receipt needs all of it."""

    jobs: tuple[JobOutcome, ...]
    """In the order of their indices."""
    completed_ms: int
    orchestrator: str
    """Address of the validator that saw the task through."""
    checks: tuple[Checks, ...]
    """All signed checks of the task, of every attempt: what the validators are paid by."""

    @property
    def results(self) -> tuple[ComputeResult, ...]:
        """The result of each job."""
        return tuple(job.result for job in self.jobs)

    @property
    def is_anchored(self) -> bool:
        """Whether every job's result has its place."""
        return all(job.batch for job in self.jobs)


def placed(
    outcome: OutcomeRecord, batch: str, leaves: Mapping[bytes, int], chain_id: str
) -> OutcomeRecord:
    """The outcome with the places in a batch of those results that have none yet.

    `leaves` are the indices of the batch's leaves.
    """
    jobs = []
    for job in outcome.jobs:
        index = None if job.batch else leaves.get(leaf_of(job.result, chain_id))
        place = {} if index is None else {"batch": batch, "index": index}
        jobs.append(msgspec.structs.replace(job, **place))
    return msgspec.structs.replace(outcome, jobs=tuple(jobs))
