"""`tmnode receipt verify` on a receipt made by hand, with and without pinned proposers."""

import json
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

from gpu.cpu import CpuBackend
from gpu.workloads import WORKLOADS
from gpu.workloads.base import JobContext, Limits
from node.amounts import Amount
from node.config import BUILT_IN_NETWORK
from node.keys import bind
from node.l1.blocks import Header, block_digest, compute_leaf
from node.l1.keys import AccountKey
from node.roles.results import evidence_in, manifest_of, signed_result
from node.verification.author import Author
from node.verification.batches import leaf_of, seal_batch
from node.verification.draws import Draw, Seat, sign_draw
from node.verification.evidence import ATTESTED
from node.verification.juries import Jury, JuryJob, case_digest, draw_jury, sign_jury
from node.verification.receipt import (
    FORMAT,
    Anchor,
    Place,
    Receipt,
    ReceiptAppeal,
    ReceiptJob,
    decode_receipt,
    encode_receipt,
)
from node.verification.rulings import Ruling, sign_ruling
from node.verification.snapshots import Candidate, Snapshot, sign_snapshot, snapshot_digest
from node.verification.statements import Manifest, Verdict, manifest_digest, sign_verdict
from p2p.identity import Identity
from storage.merkle import merkle_path

CHAIN = "cpc-devnet-1"
WORKLOAD = WORKLOADS["synthetic"]
PARAMETERS = WORKLOAD.canonical(
    WORKLOAD.parse({"seed": "s", "matrix_size": 16, "iterations": 2}, Limits())
)
PROVEN = WORKLOAD.canonical(
    WORKLOAD.parse({"seed": "s", "matrix_size": 16, "iterations": 2, "proof": True}, Limits())
)
MARKET = Identity.from_seed(bytes([1] * 32))
PROPOSER = AccountKey(bytes([2] * 32))
HEADER = Header(
    height=7,
    prev_hash="0" * 64,
    timestamp=1_700_000_000,
    chain_id=CHAIN,
    proposer_address=PROPOSER.validator_address,
    round=0,
    tx_root="0" * 64,
    state_root="0" * 64,
    compute_root="",
    gas_used=0,
    gas_limit=1,
)


def author(number: int) -> Author:
    identity, account = Identity.from_seed(bytes([number] * 32)), AccountKey(bytes([number] * 32))
    return Author(identity, bind(identity, account, CHAIN), account.address, CHAIN)


def made_receipt(folder: Path | None = None) -> bytes:
    """One task, two validators of which one also submits, one block with nothing else in it.

    With a folder it is proven: the output is left there.
    """
    worker, validators = author(3), (author(4), author(5))
    snapshot, draw = made_draw(*validators, parameters=PROVEN if folder else PARAMETERS)
    manifest = Manifest(
        "synthetic", sha256(PARAMETERS).digest(), (), trace_root=bytes(32), digest=bytes(32)
    )
    evidence = ATTESTED
    if folder:
        job = JobContext(CHAIN, draw.task_id, worker.address, 6)
        parsed = WORKLOAD.from_canonical(PROVEN)
        report = WORKLOAD.run(job, parsed, CpuBackend(), folder, lambda _part: None)
        manifest, evidence = manifest_of(draw, folder, report), evidence_in(draw, folder, report)
    result = signed_result(draw, 6, manifest, worker, evidence)
    batch = seal_batch([result], validators[0])
    root = compute_leaf(msgspec.structs.asdict(batch)).hex()
    header = msgspec.structs.replace(HEADER, compute_root=root)
    signature = PROPOSER.sign_digest(block_digest(header))
    leaves = [leaf_of(result, CHAIN)]
    job = ReceiptJob(
        draw=0,
        result=result,
        manifest=manifest,
        verdicts=tuple(made_verdict(draw, manifest, worker, one) for one in validators),
        place=Place(0, 1, merkle_path(leaves, 0)),
        anchor=0,
    )
    anchor = Anchor(batch, Place(0, 1, ()), header, PROPOSER.public_key, signature)
    return encode_receipt(Receipt(FORMAT, CHAIN, (snapshot,), (draw,), (job,), (anchor,)))


def made_draw(*validators: Author, parameters: bytes) -> tuple[Snapshot, Draw]:
    candidates = sorted(
        (Candidate(one.identity.public_key, one.address, 1, ("synthetic",)) for one in validators),
        key=lambda one: one.key,
    )
    snapshot = sign_snapshot(Snapshot(0, bytes(32), 1, tuple(candidates), b""), CHAIN, MARKET)
    draw = Draw(
        task_id="550e8400-e29b-41d4-a716-446655440000",
        epoch=1,
        redraw=0,
        kind="synthetic",
        parameters=parameters,
        reward=Amount(10**18),
        snapshot=snapshot_digest(snapshot, CHAIN),
        passed=(),
        seats=tuple(Seat(one.key, one.address) for one in candidates),
        needed=2,
        expires_ms=1_800_000_000_000,
        market_key=MARKET.public_key,
    )
    return snapshot, sign_draw(draw, CHAIN, MARKET)


def made_verdict(draw: Draw, manifest: Manifest, worker: Author, validator: Author) -> Verdict:
    unsigned = Verdict(
        task_id=draw.task_id,
        epoch=1,
        redraw=0,
        nonce=6,
        worker_address=worker.address,
        result_hash=manifest_digest(manifest, CHAIN),
        finding="valid",
        seed=bytes(32),
        validator_key=validator.identity.public_key,
    )
    return sign_verdict(unsigned, CHAIN, validator.identity)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "receipt.json"
    file.write_bytes(made_receipt())
    return file


@pytest.fixture
def pinned(tmp_path: Path) -> str:
    network = tmp_path / "network.toml"
    text = BUILT_IN_NETWORK.read_text()
    key = PROPOSER.public_key.hex()
    network.write_text(text.replace("proposer_keys = []", f'proposer_keys = ["{key}"]'))
    return str(network)


def test_a_receipt_under_a_pinned_proposer_is_valid(terminal, file, pinned) -> None:
    result = terminal.run("receipt", "verify", str(file), "--network", pinned)
    assert result.exit_code == 0
    assert result.stdout.startswith("standing     valid and anchored\n")
    assert "block        7\n" in result.stdout
    assert terminal.json("receipt", "verify", str(file), "--network", pinned)["anchored"]


def test_without_pinned_keys_it_is_consistent_not_anchored(terminal, file) -> None:
    result = terminal.run("receipt", "verify", str(file), "--json")
    assert result.exit_code == 2
    answer = json.loads(result.stdout)
    assert (answer["anchored"], answer["standing"]) == (False, "consistent, not anchored")


def disputed(said: bytes | None = None) -> bytes:
    """The receipt with a jury of two strangers, who computed `said`, or what is claimed."""
    receipt, jurors = decode_receipt(made_receipt()), (author(6), author(7))
    snapshot, like = made_draw(*jurors, parameters=PARAMETERS)
    claimed = bytes.fromhex(receipt.results[0].result_hash)
    beacon, about = bytes(32), {"task_id": like.task_id, "epoch": 1, "kind": "synthetic"}
    drawn = draw_jury(snapshot, **about, size=3, beacon=beacon, excluded=())
    jury = Jury(
        **about,
        parameters=PARAMETERS,
        jobs=(JuryJob(6, author(3).address),),
        fee=Amount(1),
        beacon=beacon,
        snapshot=like.snapshot,
        excluded=(),
        seats=tuple(Seat(one.key, one.address) for one in drawn),
        needed=2,
        expires_ms=1,
        market_key=MARKET.public_key,
    )
    jury = sign_jury(jury, CHAIN, MARKET)
    unsigned = Ruling(like.task_id, 1, case_digest(jury, CHAIN), (said or claimed,), b"")
    rulings = tuple(sign_ruling(unsigned, CHAIN, one.identity) for one in jurors)
    appeal = ReceiptAppeal("overturned" if said else "upheld", snapshot, jury, rulings)
    return encode_receipt(msgspec.structs.replace(receipt, appeal=appeal))


def test_a_result_that_a_jury_upheld(terminal, file, pinned) -> None:
    file.write_bytes(disputed())
    result = terminal.run("receipt", "verify", str(file), "--network", pinned)
    assert result.exit_code == 0
    assert "appeal       upheld by 2 of 2 jurors\n" in result.stdout


def test_a_result_that_a_jury_overturned_has_an_exit_code_of_its_own(
    terminal, file, pinned
) -> None:
    file.write_bytes(disputed(b"f" * 32))
    result = terminal.run("receipt", "verify", str(file), "--network", pinned)
    assert result.exit_code == 3
    assert result.stdout.startswith("standing     consistent, and overturned by a jury\n")
    answer = terminal.run("receipt", "verify", str(file), "--network", pinned, "--json")
    assert json.loads(answer.stdout)["anchored"] is False


def test_a_changed_receipt_is_invalid(terminal, file, pinned) -> None:
    file.write_bytes(file.read_bytes().replace(b'"height":7', b'"height":8'))
    result = terminal.run("receipt", "verify", str(file), "--network", pinned)
    assert result.exit_code == 1
    assert result.stderr == (
        "error: anchor.proposer_signature: the proposer did not sign this header\n"
    )


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b"[" * 100_000])
def test_what_is_no_receipt_is_invalid(terminal, file, content) -> None:
    file.write_bytes(content)
    result = terminal.run("receipt", "verify", str(file), "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["error"]["code"] == "receipt_invalid"


def test_a_receipt_that_is_not_there(terminal, tmp_path) -> None:
    result = terminal.run("receipt", "verify", str(tmp_path / "none"))
    assert result.exit_code == 1
    assert result.stderr.endswith("No such file or directory\n")


@pytest.fixture
def proven(tmp_path: Path) -> tuple[Path, Path]:
    """A receipt, and the folder with the files of the task."""
    folder, file = tmp_path / "artifacts", tmp_path / "receipt.json"
    folder.mkdir()
    file.write_bytes(made_receipt(folder))
    (folder / "proof").unlink()  # the receipt has it
    return file, folder


def test_what_rests_on_verdicts_is_called_attested(terminal, file, pinned) -> None:
    for more in ([], ["--artifact", str(file.parent)]):
        result = terminal.run("receipt", "verify", str(file), "--network", pinned, *more)
        assert "proofs       none: validators attest the result\n" in result.stdout
        answer = terminal.json("receipt", "verify", str(file), "--network", pinned, *more)
        assert answer["proven"] is False


def test_a_proof_is_verified_with_the_output(terminal, proven, pinned) -> None:
    file, folder = proven
    command = ("receipt", "verify", str(file), "--network", pinned)
    without = terminal.run(*command)
    assert without.exit_code == 0
    assert "1 not verified: give the artifacts of the task with --artifact" in without.stdout
    for path in (folder, folder / "matrix"):
        verified = terminal.run(*command, "--artifact", str(path))
        assert verified.exit_code == 0
        assert "proofs       1 verified: the result is proven\n" in verified.stdout
    answer = terminal.json(*command, "--artifact", str(folder))
    assert (answer["proven"], answer["anchored"]) == (True, True)


def test_a_proof_without_its_output(terminal, proven, pinned) -> None:
    """Also one of the right size, of which a byte is another."""
    file, folder = proven
    data = (folder / "matrix").read_bytes()
    (folder / "matrix").write_bytes(bytes([data[0] ^ 1]) + data[1:])
    command = ("receipt", "verify", str(file), "--network", pinned, "--artifact")
    result = terminal.run(*command, str(folder))
    assert result.exit_code == 1
    needed = f"256 bytes with SHA-256 {sha256(data).hexdigest()} are needed"
    advice = "(`tmnode task fetch` saves a task's outputs and proofs; give the whole folder)"
    assert result.stderr == f"error: jobs[0].manifest.outputs[0]: {needed} {advice}\n"
    assert terminal.run(*command, str(folder / "none")).exit_code == 1
