"""Sizes and services."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.config.values import ByteSize, HostPort, Url
from node.errors import InvalidInput

WORDS = st.text(alphabet="abcdefghijklmnopqrstuvwxyz0123456789", min_size=4, max_size=12)


@given(st.integers(min_value=1, max_value=999_999_999), st.sampled_from(["B", "MiB", "TiB"]))
def test_a_size_is_written_back_with_the_same_meaning(number: int, unit: str) -> None:
    size = ByteSize.parse(f"{number} {unit}")
    assert ByteSize.parse(str(size)) == size


@pytest.mark.parametrize("text", ["", "2", "2GB", "-1 MiB", "1.5 GiB", "2  GiB", "2 gib", "٢ GiB"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(InvalidInput, match="is not a size"):
        ByteSize.parse(text)


def test_a_place_to_listen_on_with_brackets() -> None:
    place = HostPort.parse("[::1]:0")
    assert (place.host, place.port) == ("::1", 0)


@given(user=WORDS, secret=WORDS, value=WORDS)
def test_a_service_s_secrets_are_never_shown(user: str, secret: str, value: str) -> None:
    url = Url.parse(f"https://x{user}:y{secret}@l1.test/p?k=z{value}#w{value}")
    assert url.shown == "https://<sensitive>@l1.test/p?<sensitive>"
    assert {str(url), f"{url}", format(url, "s"), repr(url)[1:-1]} == {url.shown}
    assert url + "/x" == f"https://x{user}:y{secret}@l1.test/p?k=z{value}#w{value}/x"


@pytest.mark.parametrize("text", ["", "l1.example", "http://", "file:///etc", "http://h:x", 5])
def test_what_is_no_service(text: object) -> None:
    with pytest.raises(InvalidInput):
        Url.parse(text)
