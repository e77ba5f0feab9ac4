"""What all signed claims share: their error, their numbers, their hexadecimal."""

from typing import Annotated

import msgspec

from node.errors import NodeError

Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""A number as strangers may send it: what does not fit a signed statement is not decoded."""

DIGEST_BYTES = 32


class StatementInvalid(NodeError):
    """A signed claim is malformed, forged, or about something else."""

    code = "statement_invalid"


def strict_hex(value: str, field: str) -> bytes:
    """Lower-case hex only, so that one value has one text; raises StatementInvalid."""
    try:
        data = bytes.fromhex(value)
    except ValueError as error:
        raise StatementInvalid("is not hexadecimal", field=field) from error
    if data.hex() != value:
        raise StatementInvalid("is not lower-case hexadecimal", field=field)
    return data
