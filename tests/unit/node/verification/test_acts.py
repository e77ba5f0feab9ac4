"""Acts of culprits: one of each, and none of anybody who signed nothing false."""

import copy
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.l1.errors import BadTransaction
from node.l1.escrow import Act, Award
from node.verification.acts import acts_of, check_acts, keys_of, shown_by
from node.verification.jsonable import to_jsonable
from node.verification.stakes import culprits
from node.verification.statements import Judgement, sign_verdict
from p2p.identity import Identity

CHAIN = "cpc-devnet-1"


@pytest.fixture(scope="session")
def judged(cast: Any) -> Any:
    """Makes the judgement of an attempt, of which the validators found this."""

    def judge(*findings: str, nonce: int = 6) -> Judgement:
        draw = cast.draw()
        result = cast.result(draw, nonce)
        verdicts = tuple(
            cast.verdict(draw, result, one, finding)
            for one, finding in zip(cast.validators, findings, strict=False)
        )
        return Judgement(draw, result, cast.manifest(), verdicts)

    return judge


def hashes(*judgements: Judgement) -> list[str]:
    return [one.result.result_hash for one in judgements]


def award_of(true: Any, false: list[str]) -> Award:
    """What names those who did these acts."""
    keys = keys_of(true)
    return Award(
        outcome="overturned",
        jurors=("cpc1juror",),
        false=tuple(false),
        culprits=tuple(keys),
        keys=tuple(keys.values()),
    )


def refusal(acts: Any, award: Award, chain_id: str = CHAIN) -> str:
    with pytest.raises(BadTransaction) as caught:
        check_acts(acts, award, chain_id)
    return caught.value.problem


def test_one_act_of_each_who_vouched(judged: Any, cast: Any) -> None:
    one = judged("valid", "invalid", "valid")
    acts = acts_of([one])
    workers, liars = culprits([(one.draw, one.result, one.verdicts)])
    assert {act.address for act in acts} == workers | {seat.address for seat in liars}
    assert [act.address for act in acts] == sorted(act.address for act in acts)
    check_acts(acts, award_of(acts, hashes(one)), CHAIN)
    by_address = {act.address: shown_by(act).signed() for act in acts}
    assert keys_of(acts) == {name: said.public_key for name, said in by_address.items()}
    for author in (cast.worker, cast.validators[0], cast.validators[2]):
        signed = by_address[author.address]
        assert signed.public_key == author.identity.public_key.hex()
        assert (signed.task_id, signed.result_hash) == (one.draw.task_id, one.result.result_hash)
    assert acts_of([]) == ()


def test_of_several_acts_of_one_account_the_first(judged: Any, cast: Any) -> None:
    first, second = judged("valid"), judged("valid", "valid", nonce=7)
    acts = acts_of([first, second])
    assert len(acts) == 3
    own = next(act for act in acts if act.address == cast.worker.address)
    assert own.evidence == {"result": to_jsonable(first.result)}
    assert acts_of([first, first]) == acts_of([first])


def test_an_act_is_about_what_the_award_calls_false(judged: Any) -> None:
    one = judged("valid")
    acts = acts_of([one])
    problem = refusal(acts, award_of(acts, ["00" * 32]))
    assert problem == "acts[0].evidence: is about no result that the award calls false"


def test_who_found_something_else_vouched_for_nothing(judged: Any, cast: Any) -> None:
    one = judged("invalid")
    act = Act(
        address=cast.validators[0].address, evidence={"verdict": to_jsonable(one.verdicts[0])}
    )
    problem = refusal([act], award_of([act], hashes(one)))
    assert problem.startswith("acts[0].verdict.finding: ")


def test_nobody_can_be_made_to_have_signed(judged: Any, cast: Any) -> None:
    one = judged("valid")
    worker = next(act for act in acts_of([one]) if "result" in act.evidence)
    validator = next(act for act in acts_of([one]) if "verdict" in act.evidence)
    computed, vouched = (award_of([act], hashes(one)) for act in (worker, validator))
    assert ".signature: " in refusal([worker], computed, "another-chain")
    assert ".signature: " in refusal([validator], vouched, "another-chain")
    elsewhere = msgspec.structs.replace(worker, address=validator.address)
    assert refusal([elsewhere], computed) == "acts[0].result.worker_address: is not the culprit's"
    changes: dict[str, Any]
    for changes in ({"nonce": 7}, {"task_id": "x"}, {"signature": "00" * 64}, {"signature": "z"}):
        moved = msgspec.structs.replace(one.result, **changes)
        act = msgspec.structs.replace(worker, evidence={"result": to_jsonable(moved)})
        assert refusal([act], computed).startswith("acts[0].result.signature: ")
    for changes in ({"nonce": 7}, {"task_id": "x"}, {"redraw": 1}, {"signature": b""}):
        said = msgspec.structs.replace(one.verdicts[0], **changes)
        act = msgspec.structs.replace(validator, evidence={"verdict": to_jsonable(said)})
        assert refusal([act], vouched).startswith("acts[0].verdict.signature: ")


def test_nobody_chooses_the_key(judged: Any) -> None:
    """Neither a stranger, in a victim's name, nor a culprit that is first with the award and shows
    what it signed with a key of no consequence."""
    one, stranger = judged("valid"), Identity.from_seed(bytes([77]) * 32)
    acts = acts_of([one])
    award = award_of(acts, hashes(one))
    index, act = next((n, act) for n, act in enumerate(acts) if "verdict" in act.evidence)
    other = sign_verdict(one.verdicts[0], CHAIN, stranger)
    instead = msgspec.structs.replace(act, evidence={"verdict": to_jsonable(other)})
    shown = [instead if one is act else one for one in acts]
    assert refusal(shown, award) == f"acts[{index}].evidence: is by another key than the award's"
    check_acts(shown, award_of(shown, hashes(one)), CHAIN)


def test_evidence_is_read_strictly(judged: Any) -> None:
    one = judged("valid")
    for act in acts_of([one]):
        award = award_of([act], hashes(one))
        both = {"result": to_jsonable(one.result), "verdict": to_jsonable(one.verdicts[0])}
        (name, true), *_ = act.evidence.items()
        for evidence in ({}, both, {name: {**true, "more": 1}}, {name: None}, {"nothing": true}):
            odd = msgspec.structs.replace(act, evidence=evidence)
            assert refusal([odd], award).startswith("acts[0].evidence: ")
    shouted = {"verdict": {**to_jsonable(one.verdicts[0]), "result_hash": hashes(one)[0].upper()}}
    odd = msgspec.structs.replace(act, evidence=shouted)
    assert refusal([odd], award).startswith("acts[0].evidence: ")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.just("00"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)


@settings(max_examples=40)
@given(value=JSON)
def test_hostile_evidence_raises_one_error(judged: Any, value: object) -> None:
    one = judged("valid")
    for act in acts_of([one]):
        award = award_of([act], hashes(one))
        (name,) = act.evidence
        for field in (None, *act.evidence[name]):
            evidence = copy.deepcopy(act.evidence)
            place, key = (evidence, name) if field is None else (evidence[name], field)
            before, place[key] = place[key], value
            odd = msgspec.structs.replace(act, evidence=evidence)
            try:
                check_acts([odd], award, CHAIN)
            except BadTransaction:
                continue
            assert before == value, field
