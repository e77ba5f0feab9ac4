"""The client's calls against the door's own table of commands."""

from typing import Any

import pytest

from node.api import answers
from node.api.commands import BY_NAME
from node.client import calls
from node.client.calls import Call

ID = "4f1c9a52-7d0e-8b3a-9c61-2e5d7f80a1b4"
PAYLOAD = {"seed": "a", "matrix_size": 8, "iterations": 2}

CALLS: dict[str, Call[Any]] = {
    "submit": calls.submit("synthetic", PAYLOAD, "1.0", deadline=5, idempotency_key="k"),
    "quote": calls.quote("synthetic", PAYLOAD),
    "task": calls.task(ID),
    "list": calls.tasks(status="failed", challenge_type="synthetic", limit=3, offset=4, cursor="x"),
    "wait": calls.wait(ID, phase="queued", timeout_s=2.5),
    "cancel": calls.cancel(ID),
    "receipt": calls.receipt(ID),
    "account": calls.account("cpc1x"),
    "pay-terms": calls.pay_terms(threshold="2.0", now=True),
    "status": calls.status(),
    "peers": calls.peers(),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_is_the_door_s_command(name: str) -> None:
    call, command = CALLS[name], BY_NAME[name]
    assert (call.verb, call.path) == (command.verb, command.path.replace("{task_id}", ID))
    if command.answer is answers.Receipt:
        assert call.answer is bytes
    else:
        assert call.answer is command.answer


@pytest.mark.parametrize("name", CALLS)
def test_a_call_s_parameters_are_the_command_s(name: str) -> None:
    call, command = CALLS[name], BY_NAME[name]
    assert (call.body is not None) == (call.verb == "POST")
    sent = dict(call.query) | dict(call.body or {})
    for field, header in command.headers.items():
        sent[field] = call.headers[header]
    sent |= dict.fromkeys(command.path_fields, ID)
    assert set(sent) == set(command.params.__struct_fields__)


def test_what_is_not_given_is_not_sent() -> None:
    call = calls.submit("synthetic", PAYLOAD, "1.0")
    assert set(call.body or {}) == {"challenge_type", "payload", "reward"}
    assert call.headers == {}
    assert calls.tasks().query == {"limit": 50, "offset": 0}
    assert calls.account().query == {}
    assert calls.wait(ID, phase=None, timeout_s=1).query == {"timeout": 1}


def test_a_wait_gives_the_node_more_time_than_it_asks_for() -> None:
    assert calls.wait(ID, phase=None, timeout_s=60).timeout_s > 60


def test_an_id_cannot_leave_its_place_in_the_path() -> None:
    assert calls.task("../status?x=1#y").path == "/tasks/..%2Fstatus%3Fx%3D1%23y"
