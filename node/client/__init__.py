"""A typed client of a node's HTTP API, for the command line, the demo and anybody's scripts.

`calls` are the requests as data, `replies` reads what comes back, `following` decides when to ask
again about a task, `signing` asks for an API key, `http` is what both clients share; `Client`
blocks, `AsyncClient` runs under trio.
"""

from node.client.blocking import Client
from node.client.concurrent import AsyncClient
from node.client.errors import AnswerLost, TaskFailed
from node.client.following import GOALS
from node.client.http import DEFAULT_URL, KEY_VARIABLE, URL_VARIABLE

__all__ = [
    "DEFAULT_URL",
    "GOALS",
    "KEY_VARIABLE",
    "URL_VARIABLE",
    "AnswerLost",
    "AsyncClient",
    "Client",
    "TaskFailed",
]
