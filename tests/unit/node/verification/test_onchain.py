"""The `market` profile: the chain verifies what it holds, for a fee, and refuses what is false."""

import msgspec
import pytest

from gpu.proofs.envelope import PayloadKind, ProofSystem, decode
from gpu.workloads import WORKLOADS
from gpu.workloads.base import Limits
from node.l1.devchain.chain import Chain, Tip
from node.l1.devchain.config import RULES, DevChainConfig, Genesis, GenesisValidator
from node.l1.devchain.mempool import Mempool
from node.l1.devchain.profiles import UPSTREAM, Upstream
from node.l1.devchain.state import Account, State, Validator
from node.l1.errors import BadTransaction
from node.l1.escrow import deposit
from node.l1.keys import AccountKey
from node.l1.transactions import GAS, sign, submit_result, transfer
from node.roles.results import signed_result
from node.verification.batches import batch_statement, seal_batch
from node.verification.evidence import Evidence, evidence_of
from node.verification.inline import (
    BOUNDS,
    MAX_OUTPUT_BYTES,
    UNITS_PER_GAS,
)
from node.verification.onchain import MarketProfile
from node.verification.statements import seal_result
from node.workloads import size_of

CHAIN = "cpc-devnet-1"
WORKLOAD = WORKLOADS["synthetic"]
KEY = AccountKey(bytes([105]) * 32)
"""Of the cast's worker."""
PROPOSER = AccountKey(b"\x55" * 32)
MARKET = MarketProfile(CHAIN)


def funded() -> State:
    proposer = GenesisValidator(PROPOSER.validator_address, PROPOSER.public_key.hex(), 1)
    accounts = {KEY.address: Account(10**21)}
    return State(accounts, [Validator.of_genesis(proposer)])


def problem(tx, profile: Upstream | MarketProfile = MARKET) -> str:
    pool = Mempool(RULES["devnet"], 3600.0, profile)
    refusal = pool.admit(tx, funded(), 0.0)[1]
    assert pool.size == (0 if refusal else 1)
    return refusal


def test_a_true_proof_is_in_a_block_for_its_gas(claim, tmp_path) -> None:
    tx = claim.draft().signed(KEY, 0)
    units = size_of("synthetic", claim.parameters).check_units
    gas = 80_000 + -(-units // UNITS_PER_GAS)
    assert (tx.gas_limit, tx.fee) == (gas, gas * 1000)
    pool, state = Mempool(RULES["devnet"], 3600.0, MARKET), funded()
    assert pool.admit(tx, state, 0.0)[1] == ""
    genesis = Genesis(alloc={}, genesis_time=1_700_000_000)
    config = DevChainConfig(proposer=PROPOSER, genesis=genesis, data_dir=tmp_path, profile=MARKET)
    proposal = Chain(config, state, Tip()).propose(pool.candidates(10), 0)
    assert [one.tx for one in proposal.included] == [tx]
    assert proposal.block.header.gas_used == gas
    assert proposal.accounts[KEY.address] == Account(10**21 - gas * 1000, 1)


def test_the_chains_own_rules_stay(claim) -> None:
    tx = claim.draft().signed(KEY, 0)
    cheap = msgspec.structs.replace(tx, gas_limit=80_000, fee=80_000_000)
    assert problem(sign(cheap, KEY)) == f"gas_limit 80000 < base_gas {tx.gas_limit}"
    assert problem(msgspec.structs.replace(tx, signature="00" * 64)) == "invalid_signature"
    assert problem(transfer(KEY.address, 5).signed(KEY, 0)) == ""


def resealed(claim, evidence) -> object:
    return signed_result(claim.draw, 6, claim.manifest, claim.worker, evidence)


def test_every_false_proof_is_refused_and_upstream_takes_it(claim) -> None:
    proof = claim.evidence.payload
    for index in (0, len(proof) // 2, len(proof) - 1):
        changed = proof[:index] + bytes([(proof[index] + 1) % 241]) + proof[index + 1 :]
        evidence = evidence_of(size_of("synthetic", claim.parameters), changed)
        tx = claim.draft(resealed(claim, evidence)).signed(KEY, 0)
        assert problem(tx).startswith("rejected: proof: ")
        assert problem(tx, UPSTREAM) == ""


def test_a_false_output_is_refused(claim) -> None:
    output = bytes([(claim.output[0] + 1) % 241]) + claim.output[1:]
    assert "evidence.output" in problem(claim.draft(output=output).signed(KEY, 0))


@pytest.mark.parametrize("field", ["task_id", "result_hash", "proof", "nonce", "signature"])
def test_every_field_of_a_result_is_signed(claim, field: str) -> None:
    value = getattr(claim.result, field)
    other = value + 1 if field == "nonce" else value[:-1] + ("0" if value[-1] != "0" else "1")
    payload = {**claim.draft().payload, field: other}
    tx = msgspec.structs.replace(claim.draft(), payload=payload).signed(KEY, 0)
    assert problem(tx).startswith("rejected: ")
    assert problem(tx, UPSTREAM) == ""


def test_a_proof_of_another_chain_is_none_here(claim) -> None:
    tx = claim.draft().signed(KEY, 0)
    assert problem(tx, MarketProfile("cpc-testnet-1")).startswith("rejected: ")


@pytest.mark.parametrize(
    "evidence", [None, {}, 5, {"parameters": "00", "manifest": {}, "output": ""}]
)
def test_a_proof_needs_its_evidence(claim, evidence) -> None:
    payload = {**claim.draft().payload, "evidence": evidence}
    tx = msgspec.structs.replace(claim.draft(), payload=payload).signed(KEY, 0)
    assert problem(tx).startswith("rejected: evidence")


def test_other_parameters_are_refused(claim, parameters) -> None:
    payload = claim.draft().payload
    other = {**payload["evidence"], "parameters": parameters().hex()}
    draft = msgspec.structs.replace(claim.draft(), payload={**payload, "evidence": other})
    assert problem(draft.signed(KEY, 0)).startswith("rejected: ")


def test_what_a_transaction_cannot_hold_is_refused_before_it_is_read(claim) -> None:
    """By its statement: the bytes need not even be there."""
    for size, steps in ((182, 1), (2, 228)):
        parsed = WORKLOAD.parse(
            {"seed": "s", "matrix_size": size, "iterations": steps, "proof": True}, Limits()
        )
        parameters = WORKLOAD.canonical(parsed)
        with pytest.raises(BadTransaction, match="too large"):
            claim.draft(parameters=parameters)
    assert BOUNDS.max_output_bytes == MAX_OUTPUT_BYTES
    tx = claim.draft().signed(KEY, 0)
    payload = dict(tx.payload)
    payload["evidence"] = {**payload["evidence"], "output": "00" * (MAX_OUTPUT_BYTES + 1)}
    draft = msgspec.structs.replace(claim.draft(), payload=payload)
    assert "more than 32768 bytes" in problem(draft.signed(KEY, 0))


def test_a_proof_by_digest_is_for_batches(claim) -> None:
    evidence = claim.evidence._replace(kind=PayloadKind.DIGEST, payload=bytes(32))
    tx = claim.draft(resealed(claim, evidence)).signed(KEY, 0)
    assert problem(tx).startswith("rejected: proof: ")


def test_batches_and_attestations_by_their_signatures(cast) -> None:
    result = cast.result(cast.draw())
    batch = seal_batch([result], cast.worker)
    for claim in (result, batch):
        payload = msgspec.structs.asdict(claim)
        assert problem(submit_result(payload).signed(KEY, 0)) == ""
        forged = {**payload, "signature": "00" * 64}
        assert problem(submit_result(forged).signed(KEY, 0)).startswith("rejected: signature")
    renamed = msgspec.structs.replace(batch, nonce=2)
    resigned = seal_result(renamed, bytes(32), Evidence(ProofSystem.BATCH), cast.worker)
    tx = submit_result(msgspec.structs.asdict(resigned)).signed(KEY, 0)
    assert problem(tx).startswith("rejected: proof")


@pytest.mark.parametrize("proof", ["", "zz", "00", "AB", 5, None])
def test_what_is_no_result(proof) -> None:
    payload = {
        "task_id": "t",
        "worker_address": KEY.address,
        "result_hash": "00",
        "proof": proof,
        "nonce": 1,
        "signature": "",
    }
    tx = transfer(KEY.address, 5).signed(KEY, 0)
    odd = msgspec.structs.replace(
        tx,
        tx_type="SUBMIT_RESULT",
        amount=0,
        to_address=None,
        payload=payload,
        gas_limit=GAS["SUBMIT_RESULT"],
        fee=GAS["SUBMIT_RESULT"] * 1000,
    )
    assert problem(sign(odd, KEY)).startswith("rejected: ")


def result_tx(cast, **changes: object):
    """An attestation's transaction, its payload changed."""
    payload = msgspec.structs.asdict(cast.result(cast.draw()))
    return submit_result({**payload, **changes}).signed(KEY, 0)


def test_nothing_that_is_not_looked_at_is_taken(cast, claim) -> None:
    """On the existing chain an amount in a result goes to nobody, and any field passes."""
    assert problem(result_tx(cast)) == ""
    assert problem(result_tx(cast, more=1)) == "rejected: more: is not known here"
    assert problem(result_tx(cast, evidence={})) == "rejected: evidence: is not known here"
    for changes in ({"amount": 5}, {"to_address": KEY.address}):
        tx = sign(msgspec.structs.replace(result_tx(cast), **changes), KEY)
        assert problem(tx).startswith("rejected: amount: a result pays nobody")
        assert problem(tx, UPSTREAM) == ""
    long = result_tx(cast, task_id="x" * 300_000)
    assert problem(long) == "rejected: payload: has more than 262144 bytes"
    evidence = claim.draft().payload["evidence"]
    manifest = {**evidence["manifest"], "more": 1}
    odd = {**claim.draft().payload, "evidence": {**evidence, "manifest": manifest}}
    tx = msgspec.structs.replace(claim.draft(), payload=odd).signed(KEY, 0)
    assert problem(tx).startswith("rejected: evidence: has fields that are not known")


def test_an_attestation_carries_nothing(cast) -> None:
    result = cast.result(cast.draw())
    statement = decode(bytes.fromhex(result.proof)).statement
    for evidence in (
        Evidence(payload=b"x"),
        Evidence(kind=PayloadKind.DIGEST, payload=bytes(32)),
    ):
        resigned = seal_result(result, statement, evidence, cast.worker)
        tx = submit_result(msgspec.structs.asdict(resigned)).signed(KEY, 0)
        assert problem(tx) == "rejected: proof: an attestation carries nothing"


def test_a_batch_names_its_workers(cast) -> None:
    batch = seal_batch([cast.result(cast.draw())], cast.worker)
    address = cast.worker.address.encode()
    for count, workers, reason in (
        (0, address, "nonce: a batch has 1 to 500 results"),
        (501, address, "nonce: a batch has 1 to 500 results"),
        (1, address + b"\n" + address, "proof: names workers twice, or more than results"),
        (1, b"cpc1a\ncpc1b", "proof: names workers twice, or more than results"),
        (2, b"cpc1a\ncpc1b", "proof: names workers that are no addresses"),
        (1, b"", "proof: names workers that are no addresses"),
    ):
        renamed = msgspec.structs.replace(batch, nonce=count)
        statement = batch_statement(renamed, CHAIN)
        evidence = Evidence(ProofSystem.BATCH, payload=workers)
        resigned = seal_result(renamed, statement, evidence, cast.worker)
        tx = submit_result(msgspec.structs.asdict(resigned)).signed(KEY, 0)
        assert problem(tx) == f"rejected: {reason}"


def test_whoever_has_no_place_in_the_pool_costs_no_verification(claim) -> None:
    seen = []

    class Watched(MarketProfile):
        def check(self, tx) -> None:
            seen.append(tx)

    pool = Mempool(RULES["devnet"], 3600.0, Watched(CHAIN))
    used = State({KEY.address: Account(10**21, 1)}, [])
    tx = claim.draft().signed(KEY, 0)
    assert pool.admit(tx, used, 0.0)[1] == "nonce_too_low"
    held = deposit(KEY.address, 5).signed(KEY, 0)
    assert pool.admit(held, funded(), 0.0, lambda _tx: "rejected: no")[1] == "rejected: no"
    assert seen == []
    assert pool.admit(tx, funded(), 0.0, lambda _tx: "rejected: no")[1] == ""
    assert seen == [tx]
