import msgspec
import pytest

from node.amounts import Amount
from node.errors import Conflict
from node.market.tasks import TaskRecord, anchored, leased, refunded, unleased, verified
from node.verification.statements import Draw, Seat

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


def draw(epoch: int) -> Draw:
    return Draw(
        task_id=TASK.task_id,
        epoch=epoch,
        kind="synthetic",
        parameters=b"p",
        reward=Amount(10**18),
        seats=(Seat(b"k" * 32, "cpc1v"),),
        needed=1,
        expires_ms=500,
        market_key=b"m" * 32,
    )


def test_the_straight_way() -> None:
    task = leased(TASK, draw(1), "orchestrator")
    assert (task.status, task.epoch, task.lease_until_ms) == ("in_progress", 1, 500)
    done = verified(task, 1)
    assert done.status == "completed"
    assert anchored(done).phase == "anchored"


def test_a_lost_lease_leads_to_the_next_epoch() -> None:
    task = unleased(leased(TASK, draw(1), "first"), "lost")
    assert (task.status, task.failed_orchestrators) == ("pending", ("first",))
    with pytest.raises(Conflict, match="next epoch"):
        leased(task, draw(1), "second")
    again = leased(task, draw(2), "second")
    with pytest.raises(Conflict, match="superseded"):
        verified(again, 1)
    assert verified(again, 2).phase == "verified"


@pytest.mark.parametrize("end", [leased(TASK, draw(1), "o"), TASK])
def test_open_tasks_can_be_ended(end: TaskRecord) -> None:
    task = refunded(end, "cancelled", "by the customer")
    assert (task.status, task.error_code) == ("failed", "cancelled")


def test_nothing_leads_out_of_an_end() -> None:
    done = verified(leased(TASK, draw(1), "o"), 1)
    ended = refunded(TASK, "cancelled", "")
    for over in (done, anchored(done), ended):
        with pytest.raises(Conflict):
            refunded(over, "cancelled", "")
        with pytest.raises(Conflict):
            leased(over, draw(2), "o")
        with pytest.raises(Conflict):
            unleased(over, "")
    with pytest.raises(Conflict):
        verified(ended, 1)
    with pytest.raises(Conflict):
        anchored(ended)


def test_records_survive_storage() -> None:
    from node.market.tasks import TaskRecord as Kind

    task = leased(TASK, draw(1), "o")
    data = msgspec.msgpack.encode(task, enc_hook=lambda one: one.to_wire())
    assert (
        msgspec.msgpack.decode(data, type=Kind, dec_hook=lambda kind, one: kind.from_wire(one))
        == task
    )
