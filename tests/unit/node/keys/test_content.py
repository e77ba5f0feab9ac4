"""The bytes of a key file, and of files that are none."""

import json
from hashlib import sha256
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.keys.content import MAX_FILE_BYTES, KeyFile, Kind, pack_keys, parse_file, unpack_keys
from node.keys.errors import KeyFileCorrupt, KeyFileForeign, KeysError
from node.keys.sealing import Cost, Passphrase, new_seal

SECRETS: dict[Kind, bytes] = {"secp256k1": bytes([2] * 32), "ed25519": bytes([1] * 32)}
PLAIN = pack_keys(SECRETS, None, None)
LOCK = Passphrase("secret")
SEALED = pack_keys(SECRETS, LOCK, new_seal(Cost(passes=1, memory_bytes=8_192)))


def read(data: bytes) -> dict[Kind, bytes]:
    return unpack_keys(parse_file(data, "file"), LOCK, "file")


def with_checksum(fields: dict[str, Any]) -> bytes:
    """A file as somebody who knows the format could write it."""
    empty = msgspec.json.decode(json.dumps({**fields, "checksum": ""}), type=KeyFile)
    return json.dumps(
        {**fields, "checksum": sha256(msgspec.json.encode(empty)).hexdigest()}
    ).encode()


def test_a_plain_file_is_json_that_a_person_can_read() -> None:
    fields = json.loads(PLAIN)
    assert fields["format"] == "tmnode-keys"
    assert fields["version"] == 1
    assert fields["seal"] is None
    assert fields["secret"] == "01" * 32 + "02" * 32
    assert fields["public"] == {
        "ed25519": "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c",
        "secp256k1": "024d4b6cd1361032ca9bd2aeb9d900aa4d45d9ead80ac9423374c451a7254d0766",
    }


@given(place=st.integers(0, len(SEALED) - 1), change=st.integers(1, 255), sealed=st.booleans())
def test_a_changed_byte_is_refused_or_changes_nothing(
    place: int, change: int, sealed: bool
) -> None:
    data = bytearray(SEALED if sealed else PLAIN)
    place %= len(data)
    data[place] ^= change
    try:
        found = read(bytes(data))
    except KeysError:
        return
    assert found == SECRETS
    assert chr(data[place]).isspace() or data[place] == 0


@given(st.binary(max_size=200))
def test_any_other_bytes_are_foreign(data: bytes) -> None:
    with pytest.raises(KeyFileForeign):
        parse_file(data, "file")


@given(st.integers(0, len(PLAIN) - 3))
def test_a_cut_file_is_refused(length: int) -> None:
    with pytest.raises((KeyFileForeign, KeyFileCorrupt)):
        parse_file(PLAIN[:length], "file")


def test_a_newer_version_says_which_one_it_is() -> None:
    with pytest.raises(KeyFileForeign, match="has version 2"):
        parse_file(PLAIN.replace(b'"version": 1', b'"version": 2'), "file")


def test_a_deep_file_is_foreign() -> None:
    with pytest.raises(KeyFileForeign):
        parse_file(b'{"format": "tmnode-keys", "version": 1, "x": ' + b"[" * 10_000, "file")


def test_an_endless_file_is_not_read() -> None:
    with pytest.raises(KeyFileForeign):
        parse_file(PLAIN + b" " * MAX_FILE_BYTES, "file")


@pytest.mark.parametrize("cost", [{"passes": 1, "memory_bytes": 1 << 40}, {"passes": 1 << 40}])
def test_a_file_cannot_ask_for_all_memory_or_time(cost: dict[str, int]) -> None:
    fields = json.loads(SEALED)
    fields["seal"]["cost"] |= cost
    with pytest.raises(KeyFileCorrupt):
        parse_file(json.dumps(fields).encode(), "file")


def test_a_forged_public_half_is_refused() -> None:
    fields = json.loads(PLAIN)
    fields["public"]["ed25519"] = "00" * 32
    with pytest.raises(KeyFileCorrupt):
        read(with_checksum(fields))


@pytest.mark.parametrize("secret", ["", "01" * 32, "00" * 64, "01" * 32 + "ff" * 32])
def test_a_secret_that_is_no_key_is_refused(secret: str) -> None:
    fields = json.loads(PLAIN)
    fields["secret"] = secret
    with pytest.raises(KeyFileCorrupt):
        read(with_checksum(fields))


def test_a_box_of_another_length_is_a_wrong_passphrase_or_damage() -> None:
    fields = json.loads(SEALED)
    fields["secret"] = "00"
    with pytest.raises(KeysError):
        read(with_checksum(fields))
