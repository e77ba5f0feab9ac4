"""A customer's commands against a door on loopback."""

import json
import os
from hashlib import sha256

import pytest

from node.api.errors import problem
from node.errors import NotFound

ID = "4f1c9a52-7d0e-8b3a-9c61-2e5d7f80a1b4"
QUOTE = {
    "challenge_type": "synthetic",
    "price_cpc": "0.25",
    "work_units": 1000,
    "check_units": 10,
    "max_deadline_s": 60,
    "jobs": 1,
    "proof_units": 0,
    "appeal_fee_cpc": "0.003",
}
TAKEN = {"task_id": ID, "status": "pending", "created_at": 1_700_000_000}
RESULT = {
    "appeal_fee_cpc": "0.003",
    "result_hash": "0x" + "ab" * 32,
    "worker_address": "cpc1worker",
    "completed_at": 1_700_000_009,
    "pay_due_at": 1_700_000_014,
    "output": {"matrix": {"sha256": "cd" * 32, "size": 64, "url": "/artifacts/x"}},
    "artifacts": [{"name": "matrix", "sha256": "cd" * 32, "size": 64, "url": "/artifacts/x"}],
    "workers": [{"address": "cpc1worker", "jobs": 1}],
    "validators": ["cpc1v1", "cpc1v2"],
    "orchestrator": "cpc1v1",
    "checks": [{"address": "cpc1v1", "checks": 1}],
    "proofs": [{"job": 0, "system": "chain241", "size": 9, "sha256": None, "url": None}],
}
FIELDS = ["seed=hello", "matrix_size=8", "iterations=2"]


def task(status: str, phase: str, **more: object) -> dict[str, object]:
    return {
        "task_id": ID,
        "challenge_type": "synthetic",
        "status": status,
        "phase": phase,
        "reward": "0.25",
        "created_at": 1_700_000_000,
        "deadline": 1_700_003_600,
        "payload": {"seed": "hello"},
        "jobs": 1,
        **more,
    }


DONE = task("completed", "verified", result=RESULT)


def test_quote(terminal, door) -> None:
    door.answer("POST /quote", QUOTE)
    assert terminal.json("task", "quote", "synthetic", *FIELDS) == QUOTE
    assert door.requests[0][2] == {
        "challenge_type": "synthetic",
        "payload": {"seed": "hello", "matrix_size": 8, "iterations": 2},
    }


def test_submit_pays_what_is_said(terminal, door) -> None:
    door.answer("POST /tasks", TAKEN, 201)
    arguments = ["--reward", "1.5", "--deadline", "15m", "--idempotency-key", "one"]
    assert terminal.json("task", "submit", "synthetic", *FIELDS, *arguments) == TAKEN
    ((route, headers, body),) = door.requests
    assert (route, headers["Idempotency-Key"], body["reward"]) == ("POST /tasks", "one", "1.5")
    assert body["deadline"] > 1_700_000_000


def test_submit_pays_the_quoted_price_by_default(terminal, door) -> None:
    door.answer("POST /quote", QUOTE)
    door.answer("POST /tasks", TAKEN, 201)
    result = terminal.run("task", "submit", "synthetic", *FIELDS)
    assert result.stdout == f"task    {ID}\nstatus  pending\n"
    assert door.requests[1][2]["reward"] == "0.25"
    assert len(door.requests[1][1]["Idempotency-Key"]) == 36


def test_submit_can_wait_for_the_result(terminal, door) -> None:
    door.answer("POST /tasks", TAKEN, 201)
    door.answer(f"GET /tasks/{ID}", task("pending", "queued"))
    door.answer(f"GET /tasks/{ID}/wait?phase=queued&timeout=30.0", DONE)
    result = terminal.run("task", "submit", "synthetic", *FIELDS, "--reward", "1", "--wait")
    assert result.exit_code == 0
    assert "result hash    0xabab" in result.stdout
    assert f"output matrix  64 bytes, sha256 {'cd' * 32}" in result.stdout
    assert "validators     cpc1v1, cpc1v2" in result.stdout


def test_a_lost_answer_says_how_not_to_buy_twice(terminal, door) -> None:
    door.answer("POST /tasks", None)
    result = terminal.run("task", "submit", "synthetic", *FIELDS, "--reward", "1")
    assert result.exit_code == 1
    key = door.requests[0][1]["Idempotency-Key"]
    assert f"--idempotency-key {key}" in result.stderr


@pytest.mark.parametrize(
    ("given", "payload"),
    [
        (["seed=12"], {"seed": 12}),
        (['seed="12"'], {"seed": "12"}),
        (["seed=a=b"], {"seed": "a=b"}),
        (["seed="], {"seed": ""}),
        (["--payload", '{"seed": "x", "n": 1}', "n=2"], {"seed": "x", "n": 2}),
        (["--payload", "-"], {"from": "stdin"}),
        (["--payload", "@FILE"], {"from": "file"}),
    ],
)
def test_payloads(terminal, door, tmp_path, given, payload) -> None:
    (tmp_path / "payload.json").write_text('{"from": "file"}')
    arguments = [one.replace("@FILE", f"@{tmp_path}/payload.json") for one in given]
    door.answer("POST /quote", QUOTE)
    terminal.run("task", "quote", "synthetic", *arguments, given='{"from": "stdin"}')
    assert door.requests[0][2]["payload"] == payload


@pytest.mark.parametrize(
    "given", [["seed"], ["=1"], ["--payload", "[1]"], ["--payload", "{"], ["--deadline", "soon"]]
)
def test_payloads_that_are_none(terminal, door, given) -> None:
    result = terminal.run("task", "submit", "synthetic", *given)
    assert result.exit_code == 2
    assert door.requests == []


def test_a_payload_file_that_is_not_there(terminal, door) -> None:
    result = terminal.run("task", "quote", "synthetic", "--payload", "@none.json")
    assert (result.exit_code, door.requests) == (1, [])
    assert result.stderr == "error: none.json: No such file or directory\n"


def test_show(terminal, door) -> None:
    door.answer(f"GET /tasks/{ID}", DONE)
    assert terminal.json("task", "show", ID) == DONE
    shown = terminal.run("task", "show", ID).stdout
    assert "2023-11-14 22:13:20 UTC" in shown
    assert "proof 0        chain241, 9 bytes, in the receipt" in shown


DISPUTED = {
    "reason": "it differs",
    "fee_cpc": "0.003",
    "appealed_at": 1_700_000_006,
    "deadline": 1_700_000_026,
    "jury": ["cpc1one", "cpc1two"],
    "rulings": 1,
    "outcome": None,
}


def test_appeal(terminal, door) -> None:
    door.answer(f"POST /tasks/{ID}/appeal", {**DONE, "phase": "disputed", "appeal": DISPUTED})
    text = terminal.run("task", "appeal", ID, "--reason", "it differs").stdout
    assert door.requests[-1][2] == {"reason": "it differs"}
    assert "it differs (fee 0.003 CPC)" in text
    assert "1 of 2 jurors, until 2023-11-14 22:13:46 UTC" in text


def test_an_appeal_that_nobody_can_judge(terminal, door) -> None:
    problem = {
        "code": "no_jury",
        "detail": "0 validators are there, no fee was taken",
        "field": None,
        "remedy": "`tmnode devnet --validators 6`",
    }
    door.answer(f"POST /tasks/{ID}/appeal", problem, 503)
    ended = terminal.run("task", "appeal", ID)
    assert ended.exit_code == 1
    assert "no fee was taken" in ended.stderr
    assert "tmnode devnet --validators 6" in ended.stderr


def test_who_was_passed_over_in_a_jury(terminal, door) -> None:
    passed = [{"peer_id": "12D3one", "reason": "unreachable"}]
    answer = {**DONE, "phase": "disputed", "appeal": {**DISPUTED, "passed": passed}}
    door.answer(f"GET /tasks/{ID}", answer)
    assert "12D3one (unreachable)" in terminal.run("task", "show", ID).stdout


def test_an_appeal_that_is_decided(terminal, door) -> None:
    decided = {**DISPUTED, "outcome": "overturned"}
    error = {"code": "overturned", "message": "something else came out"}
    answer = task("failed", "overturned", error=error, appeal=decided)
    door.answer(f"GET /tasks/{ID}", answer)
    text = terminal.run("task", "show", ID).stdout
    assert "ruling" in text
    assert "overturned: something else came out" in text


def test_fetch(terminal, door, tmp_path) -> None:
    matrix, proof = b"m" * 64, b"p" * 9
    digests = [sha256(data).hexdigest() for data in (matrix, proof)]
    file = {"name": "matrix", "sha256": digests[0], "size": 64, "url": "/artifacts/x"}
    about = {"job": 0, "system": "chain241", "size": 9, "sha256": digests[1], "url": "/x"}
    result = {**RESULT, "artifacts": [file], "proofs": [about]}
    door.answer(f"GET /tasks/{ID}", task("completed", "verified", result=result))
    door.answer(f"GET /artifacts/{digests[0]}", matrix)
    door.answer(f"GET /artifacts/{digests[1]}", proof)
    folder = tmp_path / "new" / "folder"
    answer = terminal.json("task", "fetch", ID, "--out", str(folder))
    assert answer == {
        "files": {str(folder / "matrix"): "64 bytes", str(folder / "proof-0"): "9 bytes"}
    }
    assert (folder / "matrix").read_bytes() == matrix
    assert (folder / "proof-0").read_bytes() == proof


def test_fetch_saves_no_other_bytes(terminal, door, tmp_path) -> None:
    door.answer(f"GET /tasks/{ID}", DONE)
    door.answer(f"GET /artifacts/{'cd' * 32}", b"something else")
    result = terminal.run("task", "fetch", ID, "--out", str(tmp_path / "none"))
    assert result.exit_code == 1
    assert "matrix came with other bytes" in result.stderr
    assert not (tmp_path / "none").exists()


def test_fetch_of_a_task_without_a_result(terminal, door) -> None:
    door.answer(f"GET /tasks/{ID}", task("pending", "queued"))
    result = terminal.run("task", "fetch", ID)
    assert (result.exit_code, "it has no result" in result.stderr) == (1, True)


def test_a_task_that_is_not_there(terminal, door) -> None:
    answer = problem(NotFound("no such task", field="task_id"))
    door.answer(f"GET /tasks/{ID}", answer.body, answer.status)
    result = terminal.run("task", "show", ID)
    assert (result.exit_code, result.stderr) == (1, "error: task_id: no such task\n")


def test_list(terminal, door) -> None:
    page = {"tasks": [DONE, task("pending", "queued")], "total": 7, "limit": 2, "offset": 0}
    door.answer("GET /tasks?status=completed&challenge_type=synthetic&limit=2&offset=0", page)
    arguments = ["--status", "completed", "--kind", "synthetic", "--limit", "2"]
    assert [one["phase"] for one in terminal.json("task", "list", *arguments)["tasks"]] == [
        "verified",
        "queued",
    ]
    lines = terminal.run("task", "list", *arguments).stdout.splitlines()
    assert lines[0].split() == ["TASK", "KIND", "STATUS", "PHASE", "REWARD", "(CPC)", "CREATED"]
    assert lines[3] == "2 of 7"
    assert len({line.index("synthetic") for line in lines[1:3]}) == 1


def test_list_goes_on_by_cursor(terminal, door) -> None:
    first = {"tasks": [DONE], "total": 2, "limit": 1, "offset": 0, "cursor": "AAAAAAAAAAE"}
    last = {"tasks": [DONE], "total": 2, "limit": 1, "offset": 0, "cursor": None}
    door.answer("GET /tasks?limit=1&offset=0", first)
    door.answer("GET /tasks?limit=1&offset=0&cursor=AAAAAAAAAAE", last)
    said = terminal.run("task", "list", "--limit", "1").stdout
    assert said.endswith("1 of 2; more with --cursor AAAAAAAAAAE\n")
    said = terminal.run("task", "list", "--limit", "1", "--cursor", "AAAAAAAAAAE").stdout
    assert said.endswith("1 of 2\n")


def test_wait_succeeds_with_the_task(terminal, door) -> None:
    door.answer(f"GET /tasks/{ID}", DONE)
    door.answer(f"GET /tasks/{ID}/wait?phase=verified&timeout=30.0", task("completed", "settled"))
    assert terminal.json("task", "wait", ID)["phase"] == "verified"
    assert terminal.json("task", "wait", ID, "--until", "settled")["phase"] == "settled"


def test_wait_fails_with_the_task(terminal, door) -> None:
    error = {"code": "cancelled", "message": "by its owner"}
    door.answer(f"GET /tasks/{ID}", task("failed", "cancelled", error=error))
    result = terminal.run("task", "wait", ID)
    assert result.exit_code == 1
    assert result.stderr == f"error: {ID}: failed, cancelled: by its owner\n"


def test_wait_ends_with_a_task_that_is_never_paid(terminal, door) -> None:
    error = {"code": "reclaimed", "message": "nobody released the reward"}
    door.answer(f"GET /tasks/{ID}", task("completed", "reclaimed", error=error))
    assert terminal.json("task", "wait", ID)["phase"] == "reclaimed"
    result = terminal.run("task", "wait", ID, "--until", "settled")
    assert result.exit_code == 1
    said = f"error: {ID}: ended reclaimed: nobody released the reward\n"
    assert result.stderr == said


def test_wait_gives_up(terminal, door) -> None:
    door.answer(f"GET /tasks/{ID}", task("pending", "queued"))
    result = terminal.run("task", "wait", ID, "--timeout", "0s")
    assert result.exit_code == 1
    assert "time is up" in result.stderr


def test_cancel(terminal, door) -> None:
    door.answer(f"POST /tasks/{ID}/cancel", task("failed", "cancelled"))
    assert terminal.json("task", "cancel", ID)["status"] == "failed"
    assert door.requests[0][2] == {}


def test_a_receipt_is_passed_on_byte_for_byte(terminal, door, tmp_path) -> None:
    content = b'{"format":"tmnode-receipt-1","n":1e3}\n'
    door.answer(f"GET /tasks/{ID}/receipt", content)
    assert terminal.run("task", "receipt", ID).stdout_bytes == content
    file = tmp_path / "receipt.json"
    answer = terminal.json("task", "receipt", ID, "--out", str(file))
    assert answer == {"file": str(file), "size_bytes": len(content)}
    assert file.read_bytes() == content


def test_status(terminal, door) -> None:
    answer = {
        "version": "0.1.0",
        "chain_id": "cpc-devnet-1",
        "peer_id": "12D3",
        "address": "cpc1",
        "roles": ["market"],
        "uptime_s": 12.5,
        "peers": 6,
        "l1_height": None,
        "counts": {"tasks_pending": 3},
        "waiting": ["the L1 has not answered for 12 s", "3 tasks wait"],
        "obstacles": ["the L1 has not answered for 12 s"],
        "overdue": [
            {
                "what": "payment",
                "about": "payout:burn:3",
                "overdue_s": 7.2,
                "reason": "no block has it",
                "remedy": "wait",
            }
        ],
    }
    door.answer("GET /status", answer)
    assert terminal.json("status") == answer
    text = terminal.run("status").stdout
    assert "l1 height      no answer yet\n" in text
    assert "tasks pending  3\n" in text
    assert "ready          no\n" in text
    said = [
        "not ready: the L1 has not answered for 12 s",
        "waiting: 3 tasks wait",
        "overdue for 7 s: payment payout:burn:3: no block has it (wait)",
    ]
    assert text.splitlines()[-3:] == said, "each is said once"


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({"escrows_held": 2, "escrows_due": 1, "escrows_ruling": 0}, "2 held, 1 due"),
        ({"escrows_held": 0}, "none is open"),
    ],
)
def test_escrows_are_one_line(terminal, door, counts: dict[str, int], said: str) -> None:
    about = dict.fromkeys(("version", "chain_id", "peer_id", "address"), "x")
    numbers = {"uptime_s": 1, "peers": 6, "l1_height": 7}
    lists = {name: [] for name in ("roles", "waiting", "obstacles", "overdue")}
    door.answer("GET /status", {**about, **numbers, **lists, "counts": counts})
    assert f"escrows    {said}\n" in terminal.run("status").stdout


def test_peers(terminal, door) -> None:
    peer = {
        "peer_id": "12D3",
        "address": "cpc1",
        "roles": ["worker"],
        "connected": True,
        "kinds": [],
    }
    door.answer("GET /peers", {"peers": [peer]})
    assert terminal.json("peers") == {"peers": [peer]}
    lines = terminal.run("peers").stdout.splitlines()
    assert [line.split() for line in lines] == [
        ["PEER", "ADDRESS", "ROLES", "CONNECTED", "KINDS"],
        ["12D3", "cpc1", "worker", "yes", "-"],
    ]


def test_account(terminal, door) -> None:
    answer = {
        "address": "cpc1a",
        "available_cpc": "1.0",
        "reserved_cpc": "0.5",
        "earned_cpc": "0.0",
        "deposit_address": "cpc1m",
        "withdrawal_fee_cpc": "0.1",
        "credit_limit_cpc": "0.0",
        "owed_cpc": "0.0",
        "credit_backer": "",
        "deposit_by": "TRANSFER",
        "bonded_cpc": "0.0",
        "unbonding_cpc": "0.0",
    }
    door.answer("GET /account", answer)
    door.answer("GET /account?address=cpc1a", answer)
    assert terminal.json("wallet") == answer
    assert "available   1.0 CPC" in terminal.run("wallet", "cpc1a").stdout


def test_no_node_says_how_to_start_one(terminal, monkeypatch) -> None:
    monkeypatch.setenv("TMNODE_API", "http://127.0.0.1:9")
    result = terminal.run("status", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["error"]["code"] == "unavailable"
    assert "tmnode devnet" in result.stderr


def test_the_node_can_be_named_on_the_command_line(terminal, door, monkeypatch) -> None:
    url = os.environ["TMNODE_API"]
    monkeypatch.setenv("TMNODE_API", "http://127.0.0.1:9")
    door.answer("GET /peers", {"peers": []})
    assert terminal.json("peers", "--api", url) == {"peers": []}
