"""Taking ports before anything that is slow to import, so that a conflict is said at once."""

import errno
import socket
from typing import Any

from node.errors import ConfigError

BACKLOG = 512


def bind_api(host: str, port: int) -> socket.socket:
    """Take the API's port; port 0 takes any that is free.

    Raises:
        ConfigError: it is in use, not allowed, or the host is none of this machine.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        return _listening(family, address)
    except OSError as error:
        raise _unbound(host, port, error) from error


def check_listen(multiaddr: str) -> None:
    """See whether `/ip4/HOST/tcp/PORT` can be listened on, without keeping it.

    Whoever listens in earnest, a moment later, finds out by itself; this only says it sooner.

    Raises:
        ConfigError: it cannot.
    """
    _, kind, host, _, port, *_ = multiaddr.split("/")
    if kind != "ip4" or port == "0":
        return
    try:
        _listening(socket.AF_INET, (host, int(port))).close()
    except OSError as error:
        in_use = error.errno == errno.EADDRINUSE
        reason = "the address is in use" if in_use else error.strerror
        problem = f"cannot listen on {multiaddr}: {reason}"
        raise ConfigError(problem, field="p2p.listen", remedy="choose another port") from error


def _listening(family: int, address: Any) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def _unbound(host: str, port: int, error: OSError) -> ConfigError:
    remedies = {
        errno.EADDRINUSE: "stop the program that listens there, or choose another port",
        errno.EACCES: "choose a port above 1023",
    }
    reason = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
    return ConfigError(
        f"port {port} on {host} {reason}",
        field="api.listen",
        remedy=remedies.get(error.errno or 0, "choose an address of this machine, e.g. 127.0.0.1"),
    )
