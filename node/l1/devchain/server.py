"""The ASGI application: a short way in for transactions, and the FastAPI routes for the rest.

A request is read to its end before anything is answered: the web server gets confused by an answer
that overtakes it. A transaction in exact JSON then goes straight to the pool, and everything else
through the routes, with the existing chain's words for what is wrong.
"""

import msgspec

from node.l1.devchain.answers import Answers
from node.l1.devchain.asgi import App, Message, Receive, Scope, Send
from node.l1.devchain.intake import read_exact, unstorable
from node.l1.devchain.node import DevChain
from node.l1.devchain.routes import build_routes, sent_answer

MAX_BODY_BYTES = 64 << 20
"""The existing chain has no bound, and takes transactions of 20 MB."""


def build_app(chain: DevChain) -> App:
    """The application of a development chain."""
    routes = build_routes(chain)
    answers = Answers(chain.config.faults)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await routes(scope, receive, send)
            return
        send, body = answers.spoiled(send), await _read(receive)
        is_tx = (scope["method"], scope["path"]) == ("POST", "/tx/send")
        if body is None:
            await _answer(send, 413, {"detail": f"more than {MAX_BODY_BYTES} bytes"})
        elif not (is_tx and await _take(chain, scope, body, send)):
            await routes(scope, _replay(body, receive), send)

    return app


async def _take(chain: DevChain, scope: Scope, body: bytes, send: Send) -> bool:
    """Answer a transaction here if the short way will do; False leaves it to the routes."""
    headers = dict(scope["headers"])
    plain = headers.get(b"content-type") == b"application/json" and b"origin" not in headers
    tx = read_exact(body, chain.config.profile.types) if plain else None
    if tx is not None:
        await _answer(send, 200, sent_answer(*chain.submit(tx)))
        return True
    problem = unstorable(body)
    if problem:
        error = {"type": "value_error", "loc": ["body"], "msg": f"Value error, {problem}"}
        await _answer(send, 422, {"detail": [{**error, "input": {}}]})
    return bool(problem)


async def _read(receive: Receive) -> bytes | None:
    """The whole body; None if it is too large, or its sender gone, after reading all there is."""
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        if len(body) <= MAX_BODY_BYTES:
            body += message.get("body", b"")
        more = message.get("more_body", False)
    return bytes(body) if len(body) <= MAX_BODY_BYTES else None


def _replay(body: bytes, receive: Receive) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return messages.pop() if messages else await receive()

    return replayed


async def _answer(send: Send, status: int, content: object) -> None:
    body = msgspec.json.encode(content)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
