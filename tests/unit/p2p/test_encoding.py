import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p.encoding import tagged, text, u64

statements = st.tuples(
    st.text(max_size=8),
    st.integers(0, 65_535),
    st.text(max_size=8),
    st.lists(st.binary(max_size=12), max_size=4),
)


@given(statements, statements)
def test_different_statements_have_different_bytes(one, other):
    encoded = [tagged(*statement[:3], *statement[3]) for statement in (one, other)]
    assert (encoded[0] == encoded[1]) == (one == other)


def test_the_bytes_are_the_specification():
    assert tagged("tag", 2, "c", b"", b"xy").hex() == (
        "00000003"
        + b"tag".hex()
        + "0002"
        + "00000001"
        + b"c".hex()
        + "00000000"
        + "00000002"
        + "7879"
    )


def test_numbers_have_eight_bytes():
    assert u64(258) == bytes(6) + b"\x01\x02"


@pytest.mark.parametrize("number", [-1, 1 << 64])
def test_numbers_that_do_not_fit(number):
    with pytest.raises(Exception, match=r"int|format"):
        u64(number)


def test_text_is_utf_8():
    assert text("é") == b"\xc3\xa9"
