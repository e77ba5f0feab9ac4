import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p.errors import MalformedMessage, MessageTooLarge
from p2p.messages import Message, decode, encode, register


@register
class Example(Message):
    TYPE_ID = 65_000
    VERSION = 3
    MAX_BYTES = 64
    number: int
    names: tuple[str, ...] = ()


def test_the_bytes_are_the_specification():
    encoded = encode(Example(number=7, names=("a",)))
    assert encoded.hex() == "fde8" + "03" + "92" + "07" + "91" + "a161"
    assert decode(encoded) == Example(number=7, names=("a",))


@given(st.integers(-(2**63), 2**63 - 1), st.lists(st.text(max_size=4), max_size=3))
def test_what_is_encoded_can_be_decoded(number, names):
    example = Example(number=number, names=tuple(names))
    assert decode(encode(example)) == example


@given(st.binary(max_size=80))
def test_garbage_is_malformed(garbage):
    with pytest.raises(MalformedMessage):
        decode(garbage)


@given(st.binary(max_size=61))
def test_a_garbage_body_is_malformed_or_a_message(body):
    with contextlib.suppress(MalformedMessage):
        assert isinstance(decode(b"\xfd\xe8\x03" + body), Example)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xfd\xe8",
        b"\xfd\xe7\x03\x91\x07",  # another type
        b"\xfd\xe8\x02\x91\x07",  # another version
        b"\xfd\xe8\x03\x93\x07\x90\x07",  # a field too many
        b"\xfd\xe8\x03\x90",  # a field too few
        b"\xfd\xe8\x03\x91\x07\x00",  # something after the end
        b"\xfd\xe8\x03" + b"\x91" * 60,
        b"\xfd\xe8\x03\x92\x07\x91\xa1\xff",  # not UTF-8
    ],
)
def test_malformed_messages(data):
    with pytest.raises(MalformedMessage):
        decode(data)


def test_the_bound_is_looked_at_before_decoding():
    with pytest.raises(MalformedMessage, match="65 bytes"):
        decode(b"\xfd\xe8\x03" + b"\xff" * 62)


def test_a_message_over_its_bound_is_not_encoded():
    with pytest.raises(MessageTooLarge) as caught:
        encode(Example(number=1, names=("x" * 100,)))
    assert caught.value.limit == 64


def test_deep_nesting_is_malformed():
    @register
    class Anything(Message):
        TYPE_ID = 65_001
        VERSION = 0
        MAX_BYTES = 1_000_000
        body: object

    with pytest.raises(MalformedMessage):
        decode(b"\xfd\xe9\x00\x91" + b"\x91" * 500_000 + b"\x00")


def test_a_type_id_belongs_to_one_type():
    with pytest.raises(ValueError, match="belongs to Example"):

        @register
        class Other(Message):
            TYPE_ID = 65_000
            VERSION = 1
            MAX_BYTES = 10


@pytest.mark.parametrize(("type_id", "version"), [(65_536, 0), (-1, 0), (65_002, 256)])
def test_ids_and_versions_have_a_range(type_id, version):
    class Other(Message):
        TYPE_ID = type_id
        VERSION = version
        MAX_BYTES = 10

    with pytest.raises(ValueError, match="out of range"):
        register(Other)
