import pytest

from node.verification.quorum import decide


def verdicts(cast, findings: str):
    """One verdict a letter: v(alid), i(nvalid), w(ithheld), n (inconclusive)."""
    names = {"v": "valid", "i": "invalid", "w": "withheld", "n": "inconclusive"}
    draw = cast.draw()
    result = cast.result(draw)
    return [
        cast.verdict(draw, result, validator, names[letter])
        for validator, letter in zip(cast.validators, findings, strict=False)
    ]


@pytest.mark.parametrize(
    ("findings", "decided"),
    [
        ("", None),
        ("v", None),
        ("vv", "valid"),
        ("vvv", "valid"),
        ("vi", None),
        ("viv", "valid"),
        ("vii", "invalid"),
        ("ii", "invalid"),
        ("w", None),
        ("ww", "withheld"),
        ("www", "withheld"),
        ("wv", None),
        ("wvv", "valid"),
        ("wvi", "inconclusive"),
        ("nn", "inconclusive"),
        ("nvw", "inconclusive"),
    ],
)
def test_two_of_three(cast, findings: str, decided: str | None) -> None:
    assert decide(verdicts(cast, findings), seats=3, needed=2) == decided


def test_a_validator_counts_once(cast) -> None:
    one = verdicts(cast, "v")[0]
    assert decide([one, one], seats=3, needed=2) is None
