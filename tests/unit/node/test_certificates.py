"""Only what is plainly not encrypted needs none."""

import pytest

from node.certificates import needs_certificates


@pytest.mark.parametrize(
    ("urls", "needed"),
    [
        (["http://127.0.0.1:8080"], False),
        (["HTTP://node.example"], False),
        (["https://node.example"], True),
        (["http://127.0.0.1:1", "https://node.example"], True),
        (["HttpS://node.example"], True),
        (["node.example"], True),
    ],
)
def test_certificates_are_needed(urls: list[str], needed: bool) -> None:
    assert needs_certificates(*urls) is needed
