"""The examples of the specification and of the documents, against a network of real processes."""

import csv
import json
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

import pytest
import requests

from node.amounts import parse_cpc

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]


@pytest.fixture
def api(net) -> str:
    return net.layout.market.api_url


def test_the_synthetic_example(net, api) -> None:
    """100 MiB of iterates go from the worker to three validators, 1 MiB to the market."""
    began = time.monotonic()
    response = requests.post(
        f"{api}/tasks",
        json={
            "challenge_type": "synthetic",
            "payload": {"seed": "1234abcd5678ef90", "matrix_size": 1024, "iterations": 100},
            "reward": "10.0",
        },
        timeout=10,
    )
    assert response.status_code == 201
    posted = response.json()
    assert posted["status"] == "pending"
    net.completed(posted["task_id"])
    sys.stdout.write(f"completed after {time.monotonic() - began:.1f} s\n")

    task = requests.get(f"{api}/tasks/{posted['task_id']}", timeout=10).json()
    assert (task["status"], task["reward"]) == ("completed", "10.0")
    assert task["result"]["result_hash"].startswith("0x")
    output = task["result"]["output"]["matrix"]
    data = requests.get(f"{api}{output['url']}", timeout=10).content
    assert (len(data), sha256(data).hexdigest()) == (1024 * 1024, output["sha256"])
    assert max(data) <= 240


def test_a_chain_too_large_to_be_opened(net, api, tmp_path) -> None:
    """One step more than 128 MiB: proven, bought over HTTP, and verified offline to the last byte.

    1 MiB of output and 130 kB of proof go from the worker to the validators and to the market.
    """
    began = time.monotonic()
    payload = {"seed": "proven", "matrix_size": 1024, "iterations": 129}
    task_id = net.client.submit("synthetic", payload, "10.0").task_id
    net.completed(task_id)
    sys.stdout.write(f"completed after {time.monotonic() - began:.1f} s\n")
    assert tmnode("task", "wait", task_id, "--until", "anchored", "--api", api).returncode == 0
    result = requests.get(f"{api}/tasks/{task_id}", timeout=10).json()["result"]
    [proof] = result["proofs"]
    assert (proof["system"], proof["size"]) == ("chain241", 129 * 1008)

    folder, file = tmp_path / "artifacts", tmp_path / "receipt.json"
    assert tmnode("task", "fetch", task_id, "--out", folder, "--api", api).returncode == 0
    for name, part in (("matrix", result["output"]["matrix"]), ("proof-0", proof)):
        data = requests.get(f"{api}{part['url']}", timeout=10).content
        assert (len(data), sha256(data).hexdigest()) == (part["size"], part["sha256"])
        assert (folder / name).read_bytes() == data
    assert tmnode("task", "receipt", task_id, "--out", file, "--api", api).returncode == 0
    command = ("receipt", "verify", file, "--network", net.layout.network_file, "--artifact")
    verified = tmnode(*command, folder)
    assert (verified.returncode, verified.stderr) == (0, "")
    assert "1 verified: the result is proven" in verified.stdout
    for name in ("matrix", "proof-0"):
        data = bytearray((folder / name).read_bytes())
        data[len(data) // 2] ^= 1
        (folder / name).write_bytes(data)
        refused = tmnode(*command, folder)
        assert refused.returncode == 1
        assert "are needed" in refused.stderr
        data[len(data) // 2] ^= 1
        (folder / name).write_bytes(data)


def test_the_inference_example_costs_nothing(net, api) -> None:
    before = net.client.account()
    response = requests.post(
        f"{api}/tasks",
        json={
            "challenge_type": "inference",
            "payload": {"model": "llama-7b", "prompt": "Hello", "max_tokens": 16},
            "reward": "10.0",
        },
        timeout=10,
    )
    assert (response.status_code, response.json()["code"]) == (422, "workload_unavailable")
    assert response.json()["field"] == "challenge_type"
    assert net.client.account() == before


def test_the_list_and_its_filters(net, api) -> None:
    posted = [net.post() for _ in range(3)]
    for task_id in posted:
        net.completed(task_id)

    def listed(**query: object) -> dict[str, object]:
        return requests.get(f"{api}/tasks", params=query, timeout=10).json()

    page = listed(status="completed", challenge_type="synthetic", limit=2)
    assert [task["task_id"] for task in page["tasks"]] == posted[:0:-1]
    assert (page["limit"], page["offset"]) == (2, 0)
    rest = listed(status="completed", limit=1, offset=2)
    assert [task["task_id"] for task in rest["tasks"]] == posted[:1]
    assert rest["total"] == page["total"] >= 3
    assert listed(status="failed")["total"] == 0
    others = listed(challenge_type="rendering")
    assert (others["tasks"], others["total"]) == ([], 0)


def test_json_rpc(net, api) -> None:
    payload = {"seed": "rpc", "matrix_size": 64, "iterations": 2}
    params = {"challenge_type": "synthetic", "payload": payload, "reward": "10.0"}
    calls = [
        {"jsonrpc": "2.0", "id": 1, "method": "tm_submitTask", "params": params},
        {"jsonrpc": "2.0", "id": "two", "method": "tm_status"},
        {"jsonrpc": "2.0", "id": 3, "method": "tm_getTask", "params": ["no id"]},
    ]
    taken, status, failed = requests.post(f"{api}/rpc", json=calls, timeout=10).json()
    assert (taken["id"], status["id"], failed["id"]) == (1, "two", 3)
    net.completed(taken["result"]["task_id"])
    assert status["result"]["roles"] == ["market"]
    assert failed["error"]["code"] == -32602
    assert failed["error"]["data"]["field"] == "task_id"


def test_three_validators_have_no_jury(net, api) -> None:
    """All of them judged: both doors refuse an appeal, say what to do, and take nothing."""
    payload = {"seed": "appeal", "matrix_size": 16, "iterations": 1}
    order = {"challenge_type": "synthetic", "payload": payload, "reward": "1.0"}
    task_id = requests.post(f"{api}/tasks", json=order, timeout=10).json()["task_id"]
    net.completed(task_id)
    path, reason = f"{api}/tasks/{task_id}/appeal", {"reason": "it looks wrong"}
    refused = requests.post(path, json=reason, timeout=10)
    call = {"jsonrpc": "2.0", "id": 1, "method": "tm_appealTask", "params": [task_id, "wrong"]}
    error = requests.post(f"{api}/rpc", json=call, timeout=10).json()["error"]
    problem = refused.json()
    assert (refused.status_code, problem["code"]) == (503, "no_jury"), problem
    assert "no fee was taken" in problem["detail"]
    assert "tmnode devnet --validators 6" in problem["remedy"]
    assert (error["data"]["code"], error["data"]["remedy"]) == ("no_jury", problem["remedy"])
    assert "appeal" not in requests.get(f"{api}/tasks/{task_id}", timeout=10).json()


def tmnode(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "node.cli", *map(str, arguments)]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_command_line(net, api, tmp_path) -> None:
    """From buying to verifying offline: exit code 0 as it is, 1 changed, 2 without pinned keys."""
    fields = ["seed=cli", "matrix_size=64", "iterations=2", "--reward", "10.0"]
    submitted = tmnode("task", "submit", "synthetic", *fields, "--api", api, "--json")
    assert submitted.returncode == 0, submitted.stderr
    task_id = json.loads(submitted.stdout)["task_id"]
    waited = tmnode("task", "wait", task_id, "--until", "anchored", "--api", api)
    assert waited.returncode == 0, waited.stderr
    assert "completed" in waited.stdout
    file = tmp_path / "receipt.json"
    assert tmnode("task", "receipt", task_id, "--out", file, "--api", api).returncode == 0

    network = net.layout.network_file
    verified = tmnode("receipt", "verify", file, "--network", network)
    assert (verified.returncode, verified.stderr) == (0, "")
    assert task_id in verified.stdout

    changed = tmp_path / "changed.json"
    changed.write_bytes(flipped(file.read_bytes(), task_id))
    refused = tmnode("receipt", "verify", changed, "--network", network)
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: ")
    assert refused.stderr.count("\n") == 1

    unpinned = tmp_path / "network.toml"
    lines = [line for line in network.read_text().splitlines() if "proposer_keys" not in line]
    unpinned.write_text("\n".join(lines))
    unanchored = tmnode("receipt", "verify", file, "--network", unpinned)
    assert unanchored.returncode == 2
    assert "consistent, not anchored" in unanchored.stdout


def flipped(receipt: bytes, task_id: str) -> bytes:
    """One hex digit of the task's result hash is another."""
    at = receipt.index(b'"result_hash":"', receipt.index(b'"result":')) + len(b'"result_hash":"')
    digit = b"1" if receipt[at : at + 1] != b"1" else b"2"
    return receipt[:at] + digit + receipt[at + 1 :]


def test_status_and_peers(net, api) -> None:
    status = tmnode("status", "--api", api)
    assert status.returncode == 0, status.stderr
    assert net.layout.market.keys.identity.peer_id in status.stdout
    peers = tmnode("peers", "--api", api, "--json")
    found = {peer["peer_id"]: peer["roles"] for peer in json.loads(peers.stdout)["peers"]}
    assert found == {seat.keys.identity.peer_id: [seat.role] for seat in net.layout.seats}


def test_what_a_market_paid_and_burned(net, api, tmp_path) -> None:
    """As anybody can see it: from the chain, the market's door and a receipt."""
    payload = {"seed": "burned", "matrix_size": 64, "iterations": 2}
    task_id = net.client.submit("synthetic", payload, "10.0").task_id
    net.receipt(task_id)
    receipt = tmp_path / "receipt.json"
    receipt.write_bytes(net.client.receipt(task_id))
    net.check_payments()
    where = ("--l1", net.layout.l1_url, "--network", net.layout.network_file, "--api", api)
    audited = tmnode("wallet", "audit-market", receipt, *where, "--json")
    assert audited.returncode == 0, audited.stdout + audited.stderr
    found = json.loads(audited.stdout)
    assert found["findings"] == []
    assert found["burned_cpc"] == found["to_burn_cpc"]
    assert parse_cpc(found["burned_cpc"]) >= parse_cpc(found["rewards_cpc"]) * 6 // 10 > 0


def test_the_books_of_a_market_that_runs(net, api) -> None:
    payload = {"seed": "books", "matrix_size": 64, "iterations": 2}
    net.completed(net.client.submit("synthetic", payload, "10.0").task_id)
    where = ("--data-dir", net.layout.market.directory, "--l1", net.layout.l1_url)
    audited = tmnode("wallet", "audit", *where, "--json")
    assert audited.returncode == 0, audited.stdout + audited.stderr
    found = json.loads(audited.stdout)
    assert found["findings"] == []
    assert float(found["on_chain_cpc"]) >= 90_000

    shown = tmnode("wallet", "statement", "--csv", "--api", api)
    first, *_, last = list(csv.DictReader(shown.stdout.splitlines()))
    assert (first["kind"], first["amount_cpc"]) == ("deposit", "100000.0")
    assert last["balance_cpc"] == net.client.account().available_cpc
