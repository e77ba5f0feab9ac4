"""Values of a configuration file that TOML has no type for: sizes, places to listen, services.

Each is an `int` or `str` with a `parse` that raises InvalidInput with the remedy, so that a field's
type is all the reader needs to know.
"""

import re
from typing import Self
from urllib.parse import urlsplit, urlunsplit

from node.errors import InvalidInput

HIDDEN = "<sensitive>"

_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_SIZE = re.compile(r"([0-9]{1,9}) ?([KMGT]iB|B)", re.ASCII)
_HOST_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z.-]+):([0-9]{1,5})", re.ASCII)


def brief(value: object) -> str:
    """A value as a message shows it, cut to a line."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def refusal(value: object, what: str, remedy: str) -> InvalidInput:
    """The error for a value that is not `what`."""
    return InvalidInput(f"{brief(value)} is not {what}", remedy=remedy)


class ByteSize(int):
    """A number of bytes, written `"2 GiB"`."""

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read a whole number with a unit: B, KiB, MiB, GiB or TiB."""
        match = _SIZE.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            raise refusal(value, "a size", 'write a whole number and a unit, e.g. "2 GiB"')
        return cls(int(match[1]) * _UNITS[match[2]])

    def __str__(self) -> str:
        unit = max((u for u in _UNITS if self % _UNITS[u] == 0), key=_UNITS.__getitem__)
        return f"{int(self) // _UNITS[unit]} {unit}"


class HostPort(str):
    """A place to listen on, `"127.0.0.1:8080"`; empty for none."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read host:port; an IPv6 host stands in brackets."""
        match = _HOST_PORT.fullmatch(value) if isinstance(value, str) else None
        if value != "" and (match is None or int(match[2]) > 65_535):
            raise refusal(value, "a place to listen on", 'use host:port, e.g. "127.0.0.1:8080"')
        return cls(value)

    @property
    def host(self) -> str:
        """The part before the port, without brackets."""
        return self.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port; 0 lets the system choose."""
        return int(self.rpartition(":")[2])


class Url(str):
    """An http or https service; it may carry credentials, so whatever prints it gets `shown`.

    The whole address is there for those who use it as text: `url + path`, `url.rstrip("/")`.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(self.shown)

    def __str__(self) -> str:
        return self.shown

    def __format__(self, spec: str) -> str:
        return format(self.shown, spec)

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read an absolute address, never repeating it in an error."""
        if not isinstance(value, str) or not _is_url(value):
            remedy = 'use an http or https address, e.g. "http://127.0.0.1:8000"'
            raise InvalidInput("is not the address of an HTTP service", remedy=remedy)
        return cls(value.rstrip("/"))

    @property
    def shown(self) -> str:
        """The address without what may be secret in it."""
        parts = urlsplit(self)
        place = parts.netloc.rpartition("@")[2]
        netloc = f"{HIDDEN}@{place}" if place != parts.netloc else place
        return urlunsplit((parts.scheme, netloc, parts.path, HIDDEN if parts.query else "", ""))


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
