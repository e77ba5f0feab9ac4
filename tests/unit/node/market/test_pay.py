"""Who is paid by which weights: cases with nothing but what counts in them."""

from hashlib import sha256

import pytest

from node.amounts import Amount
from node.market.pay import checks_of, payees_of
from node.verification.draws import Draw, Seat
from node.verification.statements import ComputeResult, Judgement, Manifest, Verdict

SEATS = tuple(Seat(sha256(name.encode()).digest(), name) for name in ("v1", "v2", "v3"))
DRAW = Draw("t", 1, 0, "k", b"", Amount(1), bytes(32), (), SEATS, 2, 0, b"")
MANIFEST = Manifest("k", b"", (), b"", b"")


def judged(worker: str, **findings: str) -> Judgement:
    result = ComputeResult("t", worker, "", "", 1)
    verdicts = tuple(
        Verdict("t", 1, 0, 1, worker, b"", finding, b"", seat.key)
        for seat in SEATS
        for finding in [findings.get(seat.address)]
        if finding
    )
    return Judgement(DRAW, result, MANIFEST, verdicts)


GOOD = judged("w1", v1="valid", v2="valid")
CASES = {
    "one job": ([GOOD], [], {"w1": 10}, {"v1": 3, "v2": 3}),
    "whatever it says": (
        [judged("w1", v1="valid", v2="valid", v3="inconclusive")],
        [],
        {"w1": 10},
        {"v1": 3, "v2": 3, "v3": 3},
    ),
    "two jobs": (
        [GOOD, judged("w2", v2="valid", v3="valid")],
        [],
        {"w1": 10, "w2": 10},
        {"v1": 3, "v2": 6, "v3": 3},
    ),
    "one worker twice": ([GOOD, GOOD], [], {"w1": 20}, {"v1": 6, "v2": 6}),
    "an earlier attempt": (
        [GOOD],
        [judged("w2", v1="invalid", v3="withheld")],
        {"w1": 10},
        {"v1": 6, "v2": 3, "v3": 3},
    ),
}


@pytest.mark.parametrize(("jobs", "earlier", "workers", "validators"), CASES.values(), ids=CASES)
def test_payees(jobs, earlier, workers, validators) -> None:
    checks = checks_of((*jobs, *earlier))
    payees = payees_of(jobs, checks, "v1", work_units=10, check_units=3)
    assert (payees.workers, payees.validators) == (workers, validators)
    assert payees.orchestrator == "v1"
