import pytest

from node.verification.challenge import commitment_of, joint_seed, secret_of
from node.verification.claims import StatementInvalid

CHAIN = "cpc-devnet-1"


def secrets_of(cast, result) -> dict[bytes, bytes]:
    return {
        one.identity.public_key: secret_of(one.identity, CHAIN, cast.draw(), result.nonce)
        for one in cast.validators
    }


def commitments_of(secrets: dict[bytes, bytes], result) -> dict[bytes, bytes]:
    return {
        key: commitment_of(secret, CHAIN, result.task_id, result.nonce)
        for key, secret in secrets.items()
    }


def test_the_seed_depends_on_every_secret_and_on_the_result(cast) -> None:
    draw = cast.draw()
    result, other = cast.result(draw, 6), cast.result(draw, 7)
    secrets = secrets_of(cast, result)
    commitments = commitments_of(secrets, result)
    seeds = {joint_seed(result, commitments, secrets, CHAIN)}
    for key in secrets:
        fewer = {one: secret for one, secret in secrets.items() if one != key}
        kept = {one: commitments[one] for one in fewer}
        seeds.add(joint_seed(result, kept, fewer, CHAIN))
    of_other = secrets_of(cast, other)
    seeds.add(joint_seed(other, commitments_of(of_other, other), of_other, CHAIN))
    assert len(seeds) == 5


def test_a_secret_must_be_the_committed_one(cast) -> None:
    result = cast.result(cast.draw())
    secrets = secrets_of(cast, result)
    commitments = commitments_of(secrets, result)
    first = next(iter(secrets))
    with pytest.raises(StatementInvalid, match="not the committed"):
        joint_seed(result, commitments, {**secrets, first: bytes(32)}, CHAIN)
    with pytest.raises(StatementInvalid, match="different validators"):
        joint_seed(result, commitments, {first: secrets[first]}, CHAIN)
    with pytest.raises(StatementInvalid, match="different validators"):
        joint_seed(result, {}, {}, CHAIN)


def test_secrets_differ_by_attempt_draw_and_validator(cast) -> None:
    one, two = cast.validators[0].identity, cast.validators[1].identity
    draw = cast.draw()
    drawn = {
        secret_of(one, CHAIN, draw, 1),
        secret_of(one, CHAIN, draw, 2),
        secret_of(one, CHAIN, cast.draw(task_id="another"), 1),
        secret_of(one, CHAIN, cast.draw(expires_ms=draw.expires_ms + 1), 1),
        secret_of(one, "other-chain", draw, 1),
        secret_of(two, CHAIN, draw, 1),
    }
    assert len(drawn) == 6


def test_a_secret_is_the_same_after_a_restart(cast) -> None:
    one = cast.validators[0].identity
    again = type(one).from_seed(one.seed)
    assert secret_of(one, CHAIN, cast.draw(), 6) == secret_of(again, CHAIN, cast.draw(), 6)
