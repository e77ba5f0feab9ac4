import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu.proofs.envelope import (
    MAX_INLINE_BYTES,
    EnvelopeInvalid,
    PayloadKind,
    ProofEnvelope,
    ProofSystem,
    decode,
    encode,
)

HEAD = 4 + 1 + 2 + 32 + 32 + 32 + 64 + 64 + 33 + 1


def filled(count, value):
    return bytes([value]) * count


ENVELOPE = ProofEnvelope(
    system=ProofSystem.CHAIN241,
    params_id=filled(32, 1),
    statement=filled(32, 2),
    worker_key=filled(32, 3),
    key_signature=filled(64, 4),
    account_signature=filled(64, 5),
    account_key=filled(33, 6),
    payload=b"proof",
)


def test_bytes_of_the_layout():
    expected = b"CPRF" + b"\1" + b"\0\3" + filled(32, 1) + filled(32, 2) + filled(32, 3)
    expected += filled(64, 4) + filled(64, 5) + filled(33, 6) + b"\0" + b"proof"
    assert encode(ENVELOPE) == expected
    assert decode(expected) == ENVELOPE


@pytest.mark.parametrize("kind", PayloadKind)
@pytest.mark.parametrize("system", ProofSystem)
def test_every_system_and_kind_survives(system, kind):
    envelope = msgspec.structs.replace(ENVELOPE, system=system, kind=kind, payload=filled(32, 9))
    assert decode(encode(envelope)) == envelope


def test_every_byte_counts():
    """Another byte is another envelope, or none."""
    data = encode(ENVELOPE)
    for place in range(len(data)):
        for change in (1, 0x80, 0xFF):
            changed = bytearray(data)
            changed[place] ^= change
            try:
                found = decode(bytes(changed))
            except EnvelopeInvalid:
                continue
            assert found != ENVELOPE
            assert encode(found) == changed


def test_cut_and_extended():
    data = encode(msgspec.structs.replace(ENVELOPE, payload=b""))
    assert len(data) == HEAD
    for size in range(HEAD):
        with pytest.raises(EnvelopeInvalid):
            decode(data[:size])
    digest = encode(msgspec.structs.replace(ENVELOPE, kind=PayloadKind.DIGEST, payload=bytes(32)))
    for wrong in (digest[:-1], digest + b"\0", digest[:HEAD]):
        with pytest.raises(EnvelopeInvalid, match="32 bytes"):
            decode(wrong)


def test_too_large():
    largest = encode(msgspec.structs.replace(ENVELOPE, payload=bytes(MAX_INLINE_BYTES)))
    assert len(decode(largest).payload) == MAX_INLINE_BYTES
    with pytest.raises(EnvelopeInvalid, match="cannot have"):
        decode(largest + b"\0")
    with pytest.raises(EnvelopeInvalid, match="goes by digest"):
        encode(msgspec.structs.replace(ENVELOPE, payload=bytes(MAX_INLINE_BYTES + 1)))


@pytest.mark.parametrize(
    "field", ["params_id", "statement", "worker_key", "key_signature", "account_key"]
)
def test_fields_of_another_size_are_not_padded(field):
    short = getattr(ENVELOPE, field)[:-1]
    with pytest.raises(EnvelopeInvalid, match="another size"):
        encode(msgspec.structs.replace(ENVELOPE, **{field: short}))


@given(st.binary(max_size=400))
def test_garbage(data):
    with pytest.raises(EnvelopeInvalid):
        decode(data)


@given(st.binary(min_size=HEAD - 7, max_size=HEAD + 60), st.integers(0, 4), st.integers(0, 3))
def test_whatever_decodes_is_canonical(rest, system, kind):
    data = bytearray(b"CPRF\1" + system.to_bytes(2, "big") + rest)
    data[HEAD - 1] = kind
    try:
        envelope = decode(bytes(data))
    except EnvelopeInvalid:
        return
    assert encode(envelope) == data
