"""RIPEMD-160 by its authors' values and against another implementation."""

import hashlib

import pytest
from Crypto.Hash import RIPEMD160
from hypothesis import given
from hypothesis import strategies as st

from node.l1.ripemd import plain_ripemd160, ripemd160

PUBLISHED = {
    b"": "9c1185a5c5e9fc54612808977ee8f548b2258d31",
    b"a": "0bdc9d2d256b3ee9daae347be6f4dc835a467ffe",
    b"abc": "8eb208f7e05d987a9b044a8e98c6b087f15a0bfc",
    b"message digest": "5d0689ef49d2fae572b881b123a85ffa21595f36",
    b"1234567890" * 8: "9b752e45573d4b39f4dbd3323cab82bf63326bfb",
}


@pytest.mark.parametrize("data", PUBLISHED)
def test_published_values(data: bytes) -> None:
    assert plain_ripemd160(data).hex() == ripemd160(data).hex() == PUBLISHED[data]


@given(st.binary(max_size=200))
def test_like_another_implementation(data: bytes) -> None:
    assert plain_ripemd160(data) == RIPEMD160.new(data).digest()


def test_without_openssl(monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(name: str, data: bytes) -> None:
        raise ValueError("unsupported hash type ripemd160")

    monkeypatch.setattr(hashlib, "new", unsupported)
    assert ripemd160(b"abc").hex() == PUBLISHED[b"abc"]
