"""Bech32 by the valid and invalid strings of BIP-173, and back and forth."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.l1 import bech32

VALID = [
    "A12UEL5L",
    "a12uel5l",
    "an83characterlonghumanreadablepartthatcontainsthenumber1andtheexcludedcharactersbio1tt5tgs",
    "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw",
]
WRONG_CHECKSUM_OR_FORM = [
    "\x201nwldj5",
    "\x7f1axkwrx",
    "\x801eym55h",
    "an84characterslonghumanreadablepartthatcontainsthenumber1andtheexcludedcharactersbio1569pvx",
    "pzry9x0s0muk",
    "1pzry9x0s0muk",
    "x1b4n0q5v",
    "li1dgmt3",
    "de1lg7wt\xff",
    "A1G7SGD8",
    "10a06t8",
    "1qzzfhee",
    "",
    "cpc1",
]


@pytest.mark.parametrize("text", VALID)
def test_valid_strings_are_read(text: str) -> None:
    prefix, data = bech32.decode(text)
    assert bech32.encode(prefix, data) == text.lower()


@pytest.mark.parametrize("text", WRONG_CHECKSUM_OR_FORM)
def test_invalid_strings_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        bech32.decode(text)


@given(st.text("abcdefghijklmnopqrstuvwxyz1", min_size=1, max_size=10), st.binary(max_size=40))
def test_bytes_come_back(prefix: str, data: bytes) -> None:
    assert bech32.decode(bech32.encode(prefix, data)) == (prefix, data)


@settings(max_examples=50)
@given(st.binary(min_size=20, max_size=20), st.data())
def test_up_to_four_wrong_characters_are_noticed(data: bytes, choose: st.DataObject) -> None:
    text = bech32.encode("cpc", data)
    places = choose.draw(st.lists(st.integers(4, len(text) - 1), min_size=1, max_size=4))
    changed = list(text)
    for place in places:
        changed[place] = choose.draw(st.sampled_from(bech32.ALPHABET))
    if changed != list(text):
        with pytest.raises(ValueError, match="checksum"):
            bech32.decode("".join(changed))
