"""Logs: one JSON object a line on standard error, never with a secret in it."""

import json
import logging
import time

LIBRARIES = ("hypercorn", "httpx", "httpcore", "libp2p", "multiaddr")
"""Their own chatter is shown from warnings up only."""


class JsonLines(logging.Formatter):
    """A record as one line of JSON: time, level, node, logger, message."""

    def __init__(self, node: str) -> None:
        super().__init__()
        self._node = node

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "node": self._node,
            "from": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line)


def configure_logging(level: str, node: str) -> None:
    """Log to standard error from `level` up, named after this node."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines(node))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))
