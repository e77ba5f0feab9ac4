"""Logs: one JSON object a line on standard error, never with a secret in it.

A line says what it is about: the members `request`, `task` and `peer` come from `extra={…}` of the
call that logs, or from the `about(…)` block around it.
"""

import json
import logging
import re
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

LIBRARIES = ("hypercorn", "httpx", "httpcore", "multiaddr")
"""Their own chatter is shown from warnings up only; `p2p.libp2p` does the same for its library."""
SUBJECTS = ("request", "task", "peer")
"""What a line can be about: ids, always text."""

_SECRETS = (
    (re.compile(r"\btm_[A-Za-z0-9_-]{16,}"), "tm_<sensitive>"),
    (re.compile(r"://[^/\s@\"]+@"), "://<sensitive>@"),
)
"""What has no business in a line, an API key or the credentials in an address, and its mask."""
_NOTHING: Mapping[str, str] = {}
_about: ContextVar[Mapping[str, str]] = ContextVar("about", default=_NOTHING)


@contextmanager
def about(**subjects: str) -> Iterator[None]:
    """Everything that is logged in the block, also by tasks started there, is about these."""
    before = _about.set({**_about.get(), **subjects})
    try:
        yield
    finally:
        _about.reset(before)


class JsonLines(logging.Formatter):
    """A record as one line of JSON: time, level, node, logger, message, what it is about."""

    def __init__(self, node: str, roles: str = "") -> None:
        super().__init__()
        self._origin = {"node": node, "roles": roles} if roles else {"node": node}

    def format(self, record: logging.LogRecord) -> str:
        """The line; what looks like a secret is hidden, should one get into a message."""
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            **self._origin,
            "from": record.name,
            "message": record.getMessage(),
            **_subjects(record),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        text = json.dumps(line)
        for secret, mask in _SECRETS:
            text = secret.sub(mask, text)
        return text


def _subjects(record: logging.LogRecord) -> dict[str, str]:
    found = {**_about.get(), **record.__dict__}
    return {name: found[name] for name in SUBJECTS if name in found}


def configure_logging(level: str, node: str, roles: str = "") -> None:
    """Log to standard error from `level` up, each line with this node's id and roles."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines(node, roles))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))
    _take_in_strays(handler)


def _take_in_strays(handler: logging.Handler) -> None:
    """Let nothing of Python's own, or of a library that keeps to itself, be plain text.

    libp2p takes its loggers off the root; what it says then comes out of the handler of last
    resort, as bare text. Python prints warnings, and errors that nobody can catch, itself.
    """
    last = logging.StreamHandler()
    last.setLevel(logging.WARNING)
    last.setFormatter(handler.formatter)
    logging.lastResort = last
    logging.captureWarnings(True)
    sys.unraisablehook = _log_unraisable


def _log_unraisable(problem: "sys.UnraisableHookArgs") -> None:
    """An error in a finalizer: nobody can catch it, but it can be read."""
    error = problem.exc_value
    info = None if error is None else (type(error), error, problem.exc_traceback)
    what = problem.err_msg or "Exception ignored in"
    logging.getLogger(__name__).error("%s: %r", what, problem.object, exc_info=info)
