"""Logs: one JSON object a line on standard error, never with a secret in it.

A line says what it is about: the members `request`, `task` and `peer` come from `extra={…}` of the
call that logs, or from the `about(…)` block around it.
"""

import json
import logging
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

LIBRARIES = ("hypercorn", "httpx", "httpcore", "libp2p", "multiaddr")
"""Their own chatter is shown from warnings up only."""
SUBJECTS = ("request", "task", "peer")
"""What a line can be about: ids, always text."""

_API_KEY = re.compile(r"\btm_[A-Za-z0-9_-]{16,}")
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

    def __init__(self, node: str) -> None:
        super().__init__()
        self._node = node

    def format(self, record: logging.LogRecord) -> str:
        """The line; whatever looks like an API key is hidden, should one get into a message."""
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "node": self._node,
            "from": record.name,
            "message": record.getMessage(),
            **_subjects(record),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return _API_KEY.sub("tm_<sensitive>", json.dumps(line))


def _subjects(record: logging.LogRecord) -> dict[str, str]:
    found = {**_about.get(), **record.__dict__}
    return {name: found[name] for name in SUBJECTS if name in found}


def configure_logging(level: str, node: str) -> None:
    """Log to standard error from `level` up, named after this node."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines(node))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))
