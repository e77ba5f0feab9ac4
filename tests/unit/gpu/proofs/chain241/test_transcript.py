import numpy as np

from gpu.proofs.chain241.transcript import Transcript

RANGE_32 = bytes(range(32))


def state(transcript):
    return transcript._state.hex()


def test_vectors(vectors):
    case, transcript = vectors["transcript"], Transcript()
    assert state(transcript) == case["initial_state"]
    transcript.absorb(b"stmt", bytes(32))
    assert state(transcript) == case["absorb_stmt_32_zero_bytes"]
    assert transcript.challenge(b"a").hex() == case["challenge_a_1"]
    assert transcript.challenge(b"a").hex() == case["challenge_a_2"]
    transcript.absorb(b"round", RANGE_32)
    expected = case["then_absorb_round_bytes_0_to_31_challenge_r"]
    assert transcript.challenge(b"r").hex() == expected


def test_same_as_the_slow_one(slow, reference):
    ours, theirs = Transcript(), slow.Transcript(reference.enc)
    for number in range(300):
        ours.absorb(b"round", bytes([number % 256] * (number % 50)))
        theirs.absorb(b"round", bytes([number % 256] * (number % 50)))
        assert list(ours.challenge(b"r")) == theirs.challenge(b"r")


def said(*words):
    """The challenge after absorbing label and data, label and data, …"""
    transcript = Transcript()
    for label, data in words:
        transcript.absorb(label, data)
    return transcript.challenge(b"r")


def test_every_word_its_label_and_its_borders_count():
    words = [(b"ab", b"12"), (b"x", b"3")]
    conversations = [
        words,
        words[:1],
        words[1:],
        words[::-1],
        [*words, (b"", b"")],
        [(b"ab", b"123"), (b"x", b"")],
        [(b"a", b"b12"), (b"x", b"3")],
        [(b"ab1", b"2"), (b"x", b"3")],
        [(b"ab", b"12"), (b"y", b"3")],
    ]
    assert len({said(*one) for one in conversations}) == len(conversations)


def test_a_challenge_changes_what_follows():
    asked, other_label, not_asked = Transcript(), Transcript(), Transcript()
    asked.challenge(b"a")
    other_label.challenge(b"b")
    assert len({one.challenge(b"r") for one in (asked, other_label, not_asked)}) == 3


def test_challenges_are_residues_and_look_uniform():
    """Chi-squared over 241 values, 32,000 draws; 240 degrees of freedom, six deviations."""
    transcript = Transcript()
    drawn = b"".join(transcript.challenge(b"r") for _ in range(2000))
    counts = np.bincount(np.frombuffer(drawn, np.uint8), minlength=241)
    assert len(counts) == 241
    expected = len(drawn) / 241
    assert abs(((counts - expected) ** 2 / expected).sum() - 240) < 6 * 480**0.5
