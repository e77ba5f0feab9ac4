"""Every state, every step: a table of what may follow what."""

from collections.abc import Callable

import msgspec
import pytest

from node.amounts import Amount
from node.errors import Conflict
from node.market.phases import ENDS, STATUS_OF
from node.market.tasks import (
    TaskRecord,
    anchored,
    disputed,
    has_attempts_left,
    leased,
    logged,
    overturned,
    paid,
    reclaimed,
    redrawn,
    refunded,
    require_lease,
    undisputed,
    unleased,
    verified,
    waits_for_anchor,
)
from node.verification.draws import JOB_STRIDE, MAX_PASSED, Draw, Pass, Seat

TASK = TaskRecord(
    task_id="550e8400-e29b-41d4-a716-446655440000",
    sequence=0,
    account="cpc1customer",
    kind="synthetic",
    parameters=b"p",
    payload=b"{}",
    reward=Amount(10**18),
    created_ms=1,
    deadline_ms=1000,
)
PASSED = Pass(1, b"k" * 32, "check", "no_reveal", 5)


def draw(epoch: int, redraw: int = 0, **changes: object) -> Draw:
    one = Draw(
        task_id=TASK.task_id,
        epoch=epoch,
        redraw=redraw,
        kind="synthetic",
        parameters=b"p",
        reward=Amount(10**18),
        snapshot=bytes(32),
        passed=(PASSED,) if redraw else (),
        seats=(Seat(b"k" * 32, "cpc1v"),),
        needed=1,
        expires_ms=500,
        market_key=b"m" * 32,
    )
    return msgspec.structs.replace(one, **changes)


LEASED = leased(TASK, draw(1), "first")
VERIFIED = verified(LEASED, 1, "first", completed_ms=70, pay_due_ms=77)
STATES = {
    "queued": TASK,
    "queued again": unleased(LEASED, "lost"),
    "leased": LEASED,
    "verified": VERIFIED,
    "verified and paid": paid(VERIFIED),
    "anchored": anchored(VERIFIED),
    "disputed": disputed(VERIFIED, 76),
    "disputed and upheld": undisputed(disputed(VERIFIED, 76), is_anchored=False),
    "settled": paid(anchored(VERIFIED)),
    "overturned": overturned(disputed(VERIFIED, 76), "false"),
    "reclaimed": reclaimed(VERIFIED),
    "refunded": refunded(TASK, "cancelled", ""),
}
Step = Callable[[TaskRecord], TaskRecord]
STEPS: dict[str, Step] = {
    "lease": lambda task: leased(task, draw(task.epoch + 1), "next"),
    "redraw": lambda task: redrawn(task, draw(task.epoch, 1)),
    "release": lambda task: unleased(task, "lost"),
    "verify": lambda task: verified(
        task, task.epoch, task.orchestrator, completed_ms=70, pay_due_ms=77
    ),
    "anchor": anchored,
    "pay": paid,
    "dispute": lambda task: disputed(task, 76),
    "dispute late": lambda task: disputed(task, 77),
    "uphold": lambda task: undisputed(task, is_anchored=False),
    "uphold anchored": lambda task: undisputed(task, is_anchored=True),
    "overturn": lambda task: overturned(task, "false"),
    "reclaim": reclaimed,
    "refund": lambda task: refunded(task, "cancelled", ""),
}
WAYS = {
    ("queued", "lease"): "leased",
    ("queued", "refund"): "refunded",
    ("queued again", "lease"): "leased",
    ("queued again", "refund"): "refunded",
    ("leased", "redraw"): "leased",
    ("leased", "release"): "queued",
    ("leased", "verify"): "verified",
    ("leased", "refund"): "refunded",
    ("verified", "anchor"): "anchored",
    ("verified", "pay"): "verified",
    ("verified and paid", "anchor"): "settled",
    ("anchored", "pay"): "settled",
    ("verified", "reclaim"): "reclaimed",
    ("anchored", "reclaim"): "reclaimed",
    ("disputed and upheld", "reclaim"): "reclaimed",
    ("verified", "dispute"): "disputed",
    ("anchored", "dispute"): "disputed",
    ("disputed", "uphold"): "verified",
    ("disputed", "uphold anchored"): "anchored",
    ("disputed", "overturn"): "overturned",
    ("disputed and upheld", "anchor"): "anchored",
    ("disputed and upheld", "pay"): "verified",
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("state", STATES)
def test_there_is_no_other_way(state: str, step: str) -> None:
    wanted = WAYS.get((state, step))
    if wanted is None:
        with pytest.raises(Conflict):
            STEPS[step](STATES[state])
    else:
        assert STEPS[step](STATES[state]).phase == wanted


def test_every_phase_is_in_the_table() -> None:
    assert {task.phase for task in STATES.values()} == set(STATUS_OF)


def test_what_may_still_get_its_place_on_the_chain() -> None:
    waiting = {name for name, task in STATES.items() if waits_for_anchor(task)}
    phases = {"verified", "disputed", "overturned", "reclaimed"}
    assert {STATES[name].phase for name in waiting} == phases


def test_no_step_leads_out_of_an_end() -> None:
    stays = {task.phase for name, task in STATES.items() if not any(w[0] == name for w in WAYS)}
    assert stays == set(ENDS)


def test_what_is_reclaimed_is_completed_and_says_why() -> None:
    task = STATES["reclaimed"]
    assert (task.status, task.error_code, task.paid) == ("completed", "reclaimed", False)
    assert task.completed_ms == 70


def test_an_overturned_task_has_failed_and_says_why() -> None:
    task = STATES["overturned"]
    assert (task.status, task.error_code, task.error_text) == ("failed", "overturned", "false")
    assert STATES["disputed"].status == "completed"


def test_settled_is_anchored_and_paid() -> None:
    assert paid(anchored(VERIFIED)) == anchored(paid(VERIFIED))
    assert anchored(paid(VERIFIED)).pay_due_ms == 77


def test_a_lost_lease_leads_to_the_next_epoch() -> None:
    task = unleased(LEASED, "lost", passed=PASSED)
    assert (task.failed_orchestrators, task.passed) == (("first",), (PASSED,))
    with pytest.raises(Conflict, match="next epoch"):
        leased(task, draw(1), "second")
    with pytest.raises(Conflict, match="next epoch"):
        leased(task, draw(2, 1), "second")
    again = leased(task, draw(2), "second")
    with pytest.raises(Conflict, match="superseded"):
        verified(again, 1, "second", completed_ms=0, pay_due_ms=0)
    with pytest.raises(Conflict, match="superseded"):
        verified(again, 2, "first", completed_ms=0, pay_due_ms=0)
    done = verified(again, 2, "second", completed_ms=0, pay_due_ms=0)
    assert done.phase == "verified"
    assert require_lease(again, 2, "second") == again.draw
    assert unleased(again, "busy", failed=False).failed_orchestrators == ("first",)


@pytest.mark.parametrize(
    "wrong",
    [
        draw(1, 2),
        draw(1, 0),
        draw(2, 1),
        draw(1, 1, task_id="another"),
        draw(1, 1, expires_ms=501),
        draw(1, 1, seats=(Seat(b"l" * 32, "cpc1w"),)),
    ],
)
def test_only_the_next_draw_of_the_epoch_fills_seats_anew(wrong: Draw) -> None:
    with pytest.raises(Conflict):
        redrawn(LEASED, wrong)
    task = redrawn(LEASED, draw(1, 1))
    assert (task.passed, task.lease_until_ms, task.orchestrator) == ((PASSED,), 500, "first")


def test_the_log_keeps_the_last() -> None:
    passes = [msgspec.structs.replace(PASSED, epoch=number) for number in range(MAX_PASSED + 3)]
    log = logged(tuple(passes[:MAX_PASSED]), *passes[MAX_PASSED:])
    assert [one.epoch for one in log] == list(range(3, MAX_PASSED + 3))


@pytest.mark.parametrize("max_attempts", [1, 5, 1000])
def test_no_attempt_has_a_number_beyond_its_job(max_attempts: int) -> None:
    epoch = 0
    while has_attempts_left(msgspec.structs.replace(TASK, epoch=epoch), max_attempts):
        epoch += 1
        assert epoch * max_attempts + max_attempts < JOB_STRIDE
    assert (epoch + 2) * max_attempts >= JOB_STRIDE


def test_records_survive_storage() -> None:
    for task in STATES.values():
        data = msgspec.msgpack.encode(task, enc_hook=lambda one: one.to_wire())
        decoded = msgspec.msgpack.decode(
            data, type=TaskRecord, dec_hook=lambda kind, one: kind.from_wire(one)
        )
        assert decoded == task
