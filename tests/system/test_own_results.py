"""A network whose chain verifies proofs: a worker's own transaction, down to the block's header."""

import json
import os
import subprocess
import sys

import pytest

from node.devnet.layout import write_layout
from node.verification.own import is_own

pytestmark = pytest.mark.system

PROVEN = {"matrix_size": 64, "iterations": 4, "proof": True}


def test_a_proven_result_goes_to_the_chain_in_its_workers_transaction(running, tmp_path) -> None:
    """And the command line says so, offline."""
    layout = write_layout(tmp_path / "net", validators=3, workers=1, api_port=0, profile="market")
    with running(layout, block_time_s=0.25) as net:
        task_id = net.client.submit("synthetic", {**PROVEN, "seed": "own"}, "10.0").task_id
        receipt = net.receipt(task_id)
        [anchor] = receipt.anchors
        assert is_own(anchor.batch)
        assert anchor.batch.worker_address == net.address("worker-1")
        opened = net.client.submit("synthetic", {**PROVEN, "seed": "x", "proof": False}, "10.0")
        assert not is_own(net.receipt(opened.task_id).anchors[0].batch)
        file = tmp_path / "receipt"
        file.write_bytes(net.client.receipt(task_id))
        answer = verified(file, layout.network_file)
    assert answer["anchored"]
    assert answer["in_block"] == "proven results: 1"


def verified(file, network) -> dict[str, object]:
    """What `tmnode receipt verify` says."""
    command = (sys.executable, "-m", "node.cli", "receipt", "verify", file, "--network", network)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [*map(str, command), "--json"], env=environment, capture_output=True, text=True, check=True
    )
    return dict(json.loads(done.stdout))
