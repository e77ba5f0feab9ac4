"""Who is paid for a completed task, and by which weights.

Workers count by the work of their valid jobs. Validators count by their signed checks, of whatever
attempt in whatever epoch and whatever they found, so that nobody is paid for saying `valid`.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from node.market.outcomes import Checks
from node.split import Payees
from node.verification.statements import Judgement, addresses_of


def payees_of(
    jobs: Sequence[Judgement],
    checks: Sequence[Checks],
    orchestrator: str,
    *,
    work_units: int,
    check_units: int,
) -> Payees:
    """The payees of a task: `orchestrator` is an address, the units are those of one job."""
    workers: Counter[str] = Counter()
    for one in jobs:
        workers[one.result.worker_address] += work_units
    validators = {one.address: one.count * check_units for one in checks}
    return Payees(workers, validators, orchestrator)


def checks_of(judgements: Iterable[Judgement]) -> tuple[Checks, ...]:
    """Every signed check, counted by the address of its validator."""
    counts: Counter[str] = Counter()
    for one in judgements:
        counts.update(addresses_of(one.draw, one.verdicts))
    return tuple(Checks(address, count) for address, count in sorted(counts.items()))
