"""Every message comes back as it was sent, and fits its bound at the largest that roles send."""

import importlib
import pkgutil
from collections.abc import Callable
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import node.wire
from gpu.proofs.envelope import MAX_INLINE_BYTES
from gpu.workloads import KINDS, WORKLOADS
from gpu.workloads.base import Limits as WorkLimits
from gpu.workloads.synthetic.parameters import MAX_SEED_BYTES
from node.amounts import MAX_AMOUNT, Amount
from node.keys import bind
from node.l1.escrow import MAX_ESCROWS
from node.l1.keys import AccountKey
from node.market.judging import MAX_EARLIER
from node.roles.news import TASKS_AT_ONCE
from node.roles.opening import INLINE_BYTES
from node.roles.presence import MAX_ADDRESSES
from node.roles.reports import MAX_REASON
from node.roles.results import signed_result
from node.verification.author import Author
from node.verification.batches import MAX_BATCH, leaf_of, seal_batch
from node.verification.draws import (
    MAX_PASSED,
    MAX_REFUSAL,
    Draw,
    Pass,
    Refusal,
    Seat,
    sign_draw,
    sign_refusal,
)
from node.verification.ends import MAX_CODE, sign_end
from node.verification.inline import MAX_OUTPUT_BYTES
from node.verification.juries import MAX_EXCLUDED, Jury, JuryJob
from node.verification.rulings import Ruling
from node.verification.snapshots import MAX_CANDIDATES, Candidate, Snapshot
from node.verification.statements import (
    ComputeResult,
    Judgement,
    Manifest,
    OutputRef,
    Verdict,
)
from node.wire.appeals import RequestRuling, ResultOverturned, RulingAnswer
from node.wire.approvals import (
    ApprovalAnswer,
    RequestAward,
    RequestBundle,
    RequestRefund,
    RequestSettlement,
    settlement_request,
)
from node.wire.checks import (
    CommitmentAnswer,
    RequestCommitment,
    RequestReveal,
    RequestVerdict,
    RevealAnswer,
    VerdictAnswer,
)
from node.wire.jobs import (
    Challenge,
    JobAnswer,
    JobCommitted,
    JobFailed,
    LeaseJob,
    Opening,
    ReleaseJob,
    Secret,
    SecretCommitment,
)
from node.wire.leases import (
    MAX_OFFER,
    BatchAnchored,
    CancelLease,
    JobState,
    LeaseAnswer,
    LeaseAnswers,
    OfferLeases,
    ReportFailure,
    ReportProgress,
    ReportResult,
    RequestSeats,
    SeatsAnswer,
    TaskProgress,
)
from node.wire.payouts import SetThreshold
from node.wire.presence import Ack, Answer, Hello, Presence
from node.wire.publishing import PublishAnswer, PublishResult
from node.wire.snapshots import PublishedSnapshot, RequestSnapshot
from node.workloads import MAX_STEPS
from p2p.errors import MalformedMessage
from p2p.identity import Identity
from p2p.limits import Limits
from p2p.messages import Message, decode, encode

for module in pkgutil.iter_modules(node.wire.__path__, "node.wire."):
    importlib.import_module(module.name)
MESSAGES = sorted(
    (one for one in Message.__subclasses__() if one.__module__.startswith("node.wire.")),
    key=lambda one: one.TYPE_ID,
)

CHAIN = "cpc-devnet-1"
MAX_JOBS = 64
"""The most that a network file may allow."""
MAX_SEATS = 31
"""The largest quorum that a network file may ask for."""
U63 = 2**63 - 1
LONG_REASON = "🦊" * MAX_REASON


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a field's type, as far as messages use them."""
    plain: dict[Any, st.SearchStrategy[Any]] = {
        int: st.integers(0, U63),
        float: st.floats(allow_nan=False),
        bool: st.booleans(),
        str: st.text(max_size=12),
        bytes: st.binary(max_size=40),
        Amount: st.integers(-MAX_AMOUNT, MAX_AMOUNT).map(Amount),
    }
    if kind in plain:
        return plain[kind]
    if get_origin(kind) is UnionType:
        return st.one_of(*map(values, get_args(kind)))
    if kind is NoneType:
        return st.none()
    if get_origin(kind) is tuple:
        inner = get_args(kind)[0]
        most = 1 if isinstance(inner, type) and issubclass(inner, msgspec.Struct) else 2
        return st.lists(values(inner), max_size=most).map(tuple)
    if get_origin(kind) is Literal:
        return st.sampled_from(get_args(kind))
    fields = {name: values(inner) for name, inner in fields_of(kind).items()}
    if kind is Presence:
        fields["slots"] = st.integers(0, 4096)
    if kind is Candidate:
        fields["weight"] = st.integers(1, 2**32)
    return st.builds(kind, **fields)


def fields_of(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in msgspec.structs.fields(kind)}


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_message_comes_back(kind: type[Message], data) -> None:
    message = data.draw(values(kind))
    assert decode(encode(message)) == message


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
def test_a_bound_is_below_that_of_its_carrier(kind: type[Message]) -> None:
    limits = Limits()
    carrier = limits.max_gossip_bytes if kind is Presence else limits.max_frame_bytes
    assert carrier > kind.MAX_BYTES


@pytest.mark.parametrize("number", [-1, -(2**63), 2**63, 2**64 - 1])
def test_numbers_that_no_statement_can_hold_are_malformed(number: int) -> None:
    """They would break the canonical bytes deep inside a handler."""
    for kind, field in ((CancelLease, "epoch"), (ReleaseJob, "nonce"), (JobFailed, "epoch")):
        message = msgspec.structs.replace(LARGEST[kind](), **{field: number})
        with pytest.raises(MalformedMessage):
            decode(encode(message))
    draw = msgspec.structs.replace(large_draw(), expires_ms=number)
    with pytest.raises(MalformedMessage):
        decode(encode(RequestCommitment(draw, 1)))


def author(number: int) -> Author:
    identity = Identity.from_seed(number.to_bytes(32, "big"))
    account = AccountKey((number + 1).to_bytes(32, "big"))
    return Author(identity, bind(identity, account, CHAIN), account.address, CHAIN)


def large_draw() -> Draw:
    """A full house, and the longest parameters."""
    payload = {"seed": "x" * MAX_SEED_BYTES, "matrix_size": 1, "iterations": 1}
    workload = WORKLOADS["synthetic"]
    parsed = workload.parse(payload, WorkLimits())
    largest = msgspec.structs.replace(parsed, matrix_size=2**16, iterations=2**32 - 1)
    validators = [author(number) for number in range(1, MAX_SEATS + 1)]
    draw = Draw(
        task_id="550e8400-e29b-41d4-a716-446655440000",
        epoch=U63,
        redraw=U63,
        kind="synthetic",
        parameters=workload.canonical(largest),
        reward=Amount(MAX_AMOUNT),
        snapshot=bytes(32),
        passed=(large_pass(),) * MAX_PASSED,
        seats=tuple(Seat(one.identity.public_key, one.address) for one in validators),
        needed=MAX_SEATS,
        expires_ms=U63,
        market_key=bytes(32),
    )
    return sign_draw(draw, CHAIN, author(50).identity)


def large_refusal() -> Refusal:
    task, reason = "550e8400-e29b-41d4-a716-446655440000", "🦊" * MAX_REFUSAL
    refusal = Refusal(task, U63, "orchestrate", reason, U63, b"")
    return sign_refusal(refusal, CHAIN, author(1).identity)


def large_pass() -> Pass:
    return Pass(U63, bytes(32), "orchestrate", "refused", U63, large_refusal())


def large_snapshot() -> Snapshot:
    one = Candidate(bytes(32), author(1).address, 2**32, KINDS)
    return Snapshot(U63, bytes(32), U63, (one,) * MAX_CANDIDATES, bytes(32), bytes(64))


def large_jury() -> Jury:
    draw = large_draw()
    return Jury(
        task_id=draw.task_id,
        epoch=U63,
        kind=draw.kind,
        parameters=draw.parameters,
        jobs=(JuryJob(U63, author(1).address),) * MAX_JOBS,
        fee=Amount(MAX_AMOUNT),
        beacon=bytes(32),
        snapshot=bytes(32),
        excluded=(bytes(32),) * MAX_EXCLUDED,
        seats=draw.seats,
        needed=MAX_SEATS,
        expires_ms=U63,
        market_key=bytes(32),
        signature=bytes(64),
    )


def large_settlement() -> RequestSettlement:
    return settlement_request(TASK, bytes(32), judgements(MAX_JOBS), judgements(MAX_EARLIER))


def large_ruling() -> Ruling:
    hashes = (bytes(32),) * MAX_JOBS
    return Ruling(large_draw().task_id, U63, bytes(32), hashes, bytes(32), bytes(64))


def judgements(count: int) -> tuple[Judgement, ...]:
    """Under a full quorum, after the most that can be passed over."""
    return (Judgement(large_draw(), RESULT, manifest(), (verdict(),) * MAX_SEATS),) * count


def manifest() -> Manifest:
    output = OutputRef("matrix", bytes(32), U63, bytes(32))
    return Manifest("synthetic", bytes(32), (output,), bytes(32), bytes(32))


def result(number: int = 1) -> ComputeResult:
    """A result as small as a worker's is, which may not have a payload of its own."""
    return signed_result(large_draw(), U63, manifest(), author(number))


def proven() -> ComputeResult:
    """With the largest proof that a result has with it."""
    return msgspec.structs.replace(RESULT, proof="ab" * (MAX_INLINE_BYTES + 512))


def verdict() -> Verdict:
    return Verdict(
        task_id="550e8400-e29b-41d4-a716-446655440000",
        epoch=U63,
        redraw=U63,
        nonce=U63,
        worker_address=author(1).address,
        result_hash=bytes(32),
        finding="inconclusive",
        seed=bytes(32),
        validator_key=bytes(32),
        signature=bytes(64),
    )


def presence() -> Presence:
    address = "/dns6/" + "x" * 100 + "/tcp/65535/p2p/" + author(1).identity.peer_id
    return Presence(
        binding=author(1).binding,
        roles=("market", "validator", "worker"),
        kinds=KINDS,
        addresses=(address,) * MAX_ADDRESSES,
        slots=4096,
    )


def anchored() -> BatchAnchored:
    """A full batch in which every result has another worker."""
    results = [
        msgspec.structs.replace(RESULT, worker_address=f"cpc1{number:039}")
        for number in range(MAX_BATCH)
    ]
    return BatchAnchored(
        batch=seal_batch(results, author(1)),
        task_ids=(RESULT.task_id,) * MAX_BATCH,
        leaves=(leaf_of(RESULT, CHAIN),) * MAX_BATCH,
        height=U63,
    )


RESULT = result()
DIGESTS = (bytes(32),) * MAX_STEPS
COMMITMENTS = (SecretCommitment(bytes(32), bytes(32)),) * MAX_SEATS
SECRETS = (Secret(bytes(32), bytes(32)),) * MAX_SEATS
INLINE = bytes(INLINE_BYTES)
TASK = RESULT.task_id

LARGEST: dict[type[Message], Callable[[], Message]] = {
    Presence: presence,
    Hello: lambda: Hello(presence()),
    Ack: Ack,
    OfferLeases: lambda: OfferLeases((large_draw(),) * MAX_OFFER),
    LeaseAnswers: lambda: LeaseAnswers(
        (LeaseAnswer(taken=False, reason=LONG_REASON, refusal=large_refusal()),) * MAX_OFFER
    ),
    ReportResult: lambda: ReportResult(
        TASK, U63, judgements(MAX_JOBS), judgements(16), ((INLINE,),)
    ),
    ReportFailure: lambda: ReportFailure(TASK, U63, LONG_REASON, judgements(32)),
    ReportProgress: lambda: ReportProgress(
        (TaskProgress(TASK, U63, (JobState(U63, "computing", U63, "p" * 64),) * 64),)
        * TASKS_AT_ONCE
    ),
    RequestSeats: lambda: RequestSeats(TASK, U63, U63, (large_pass(),) * MAX_SEATS),
    SeatsAnswer: lambda: SeatsAnswer(large_draw()),
    PublishedSnapshot: lambda: PublishedSnapshot(large_snapshot()),
    RequestSnapshot: lambda: RequestSnapshot(bytes(32)),
    CancelLease: lambda: CancelLease(TASK, U63),
    BatchAnchored: anchored,
    LeaseJob: lambda: LeaseJob(large_draw(), U63, COMMITMENTS, 1e300),
    JobAnswer: lambda: JobAnswer(Answer(taken=False, reason=LONG_REASON)),
    JobCommitted: lambda: JobCommitted(U63, RESULT, manifest()),
    JobFailed: lambda: JobFailed(TASK, U63, U63, LONG_REASON),
    Challenge: lambda: Challenge(large_draw(), U63, COMMITMENTS, SECRETS),
    Opening: lambda: Opening(DIGESTS, INLINE, (INLINE,)),
    ReleaseJob: lambda: ReleaseJob(TASK, U63, accepted=True),
    RequestCommitment: lambda: RequestCommitment(large_draw(), U63),
    CommitmentAnswer: lambda: CommitmentAnswer(COMMITMENTS[0], large_refusal()),
    RequestReveal: lambda: RequestReveal(large_draw(), RESULT, manifest()),
    RevealAnswer: lambda: RevealAnswer(SECRETS[0]),
    RequestVerdict: lambda: RequestVerdict(
        large_draw(), RESULT, manifest(), COMMITMENTS, SECRETS, DIGESTS, INLINE
    ),
    VerdictAnswer: lambda: VerdictAnswer(verdict()),
    RequestSettlement: large_settlement,
    RequestBundle: lambda: RequestBundle((bytes(32),) * MAX_ESCROWS, (bytes(32),) * MAX_ESCROWS),
    RequestAward: lambda: RequestAward(
        bytes(32),
        large_settlement(),
        large_draw(),
        large_jury(),
        U63,
        (large_ruling(),) * MAX_SEATS,
    ),
    RequestRefund: lambda: RequestRefund(
        sign_end(TASK, "x" * MAX_CODE, U63, CHAIN, author(1).identity)
    ),
    ApprovalAnswer: lambda: ApprovalAnswer(bytes(32), bytes(64)),
    SetThreshold: lambda: SetThreshold(Amount(MAX_AMOUNT), U63, bytes(64)),
    PublishResult: lambda: PublishResult(
        msgspec.structs.replace(judgements(1)[0], result=proven()), bytes(MAX_OUTPUT_BYTES)
    ),
    PublishAnswer: lambda: PublishAnswer(taken=False, reason=LONG_REASON, height=U63),
    RequestRuling: lambda: RequestRuling(large_jury()),
    RulingAnswer: lambda: RulingAnswer(large_ruling()),
    ResultOverturned: lambda: ResultOverturned(
        large_draw(),
        proven(),
        manifest(),
        large_jury(),
        (bytes(32),) * MAX_JOBS,
        (large_ruling(),) * MAX_SEATS,
    ),
}


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
def test_the_largest_that_is_sent_fits(kind: type[Message]) -> None:
    message = LARGEST[kind]()
    assert decode(encode(message)) == message
