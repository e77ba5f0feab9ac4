"""What both clients do alike: settings, the request of a call, failures of the connection."""

import os
from typing import Any

import httpx
import msgspec

from node.certificates import needs_certificates
from node.client.calls import Call
from node.client.errors import AnswerLost
from node.errors import InvalidInput, NodeError, Unavailable

DEFAULT_URL = "http://127.0.0.1:8080"
URL_VARIABLE = "TMNODE_API"
KEY_VARIABLE = "TMNODE_API_KEY"


def client_settings(url: str | None, api_key: str | None) -> dict[str, Any]:
    """What both httpx clients are made of; the environment's proxies are not used."""
    chosen = url or os.environ.get(URL_VARIABLE) or DEFAULT_URL
    key = api_key or os.environ.get(KEY_VARIABLE)
    if not _is_address(chosen):
        remedy = f"write it like {DEFAULT_URL}"
        raise InvalidInput(f"{chosen[:80]!r} is not an address", field=URL_VARIABLE, remedy=remedy)
    return {
        "base_url": chosen.rstrip("/"),
        "headers": {"Authorization": f"Bearer {key}"} if key else {},
        "trust_env": False,
        "verify": needs_certificates(chosen),
    }


def request_of(call: Call[Any]) -> dict[str, Any]:
    """The call as arguments of an httpx client's `request`."""
    sent = {"content": msgspec.json.encode(call.body)} if call.body is not None else {}
    content_type = {"Content-Type": "application/json"} if call.body is not None else {}
    return {
        "method": call.verb,
        "url": call.path,
        "params": dict(call.query) or None,
        "headers": {**content_type, **call.headers},
        "timeout": httpx.Timeout(call.timeout_s, connect=min(5.0, call.timeout_s)),
        **sent,
    }


def explained(error: httpx.HTTPError, url: str) -> NodeError:
    """What a failed connection means: nobody is there, or the answer was lost."""
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        remedy = f"start one with `tmnode devnet`, or set {URL_VARIABLE}"
        return Unavailable("no node answers here", field=url, remedy=remedy)
    if isinstance(error, httpx.TimeoutException):
        return AnswerLost("did not answer in time", field=url, remedy="look at its state")
    return AnswerLost(f"the connection failed: {error}", field=url, remedy="look at its state")


def _is_address(text: str) -> bool:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        return False
    return url.scheme in ("http", "https") and bool(url.host)
