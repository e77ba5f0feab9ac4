"""Nothing that a node says holds a key, a seed, a passphrase, an API key or a password."""

import base64
import io
import logging
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from node.api.accounts import Accounts, key_request_digest
from node.chainwatch import ChainWatch
from node.cli.main import tmnode
from node.config import load_config
from node.directory import Directory
from node.info import NodeInfo
from node.keys import Cost, NodeKeys, WrongPassphrase, bind, load_keys, make_keys
from node.l1.client import HttpL1Client
from node.l1.errors import L1Error
from node.logs import LIBRARIES, configure_logging
from node.verification.author import Author
from p2p.memory import MemoryHub
from storage.database import open_database
from storage.memory import MemoryStore

CONFIGS = Path(__file__).parents[4] / "configs"
CHAIN = "cpc-devnet-1"
PASSPHRASE = "correct horse battery staple"
PASSWORD = "pa55word"
CHEAP = Cost(memory_bytes=8192, passes=1)


@pytest.fixture
def keys(tmp_path) -> NodeKeys:
    return make_keys(tmp_path / "node", PASSPHRASE, CHEAP)


@pytest.fixture
def said():
    """Everything that a node logs, from debug up, as it is printed."""
    root, stream = logging.getLogger(), io.StringIO()
    loggers = [root, *map(logging.getLogger, LIBRARIES)]
    before = [(logger, logger.level, logger.handlers[:]) for logger in loggers]
    root.handlers.clear()  # pytest's own, which must not be closed
    configure_logging("debug", "market")
    root.handlers[0].setStream(stream)
    yield stream
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers


async def api_key(client, keys: NodeKeys) -> str:
    account = keys.account
    asked = await client.post("/account/challenge", json={"address": account.address})
    challenge = asked.json()["challenge"]
    digest = key_request_digest(CHAIN, account.address, challenge, None)
    body = {
        "address": account.address,
        "public_key": account.public_key.hex(),
        "challenge": challenge,
        "signature": account.sign_digest(digest).hex(),
    }
    return (await client.post("/account/keys", json=body)).json()["key"]


def shown_config(tmp_path, network_url: str) -> tuple[str, ...]:
    """The network file with a password, in all the ways in which it gets printed."""
    sample = (CONFIGS / "devnet.toml").read_text()
    network = tmp_path / "net.toml"
    network.write_text(sample.replace("http://127.0.0.1", network_url))
    options = ["--role", "market", "--network", str(network), "--data-dir", str(tmp_path / "node")]
    shown = CliRunner().invoke(tmnode, ["config", "show", *options])
    assert shown.exit_code == 0, shown.output
    checked = CliRunner().invoke(tmnode, ["config", "check", str(network), "--json"])
    config = load_config(None, roles=["market"], network=network)
    url = config.network.network.l1_url
    assert PASSWORD in url + "/status", "whoever uses it has it all"
    said = (
        url.shown,
        str(url),
        repr(url),
        f"{url} {url!s:>80} {url!r}",
        repr(config),
    )
    return shown.output, checked.output, *said


def forms(secret: bytes) -> set[str]:
    """The ways in which bytes get into text."""
    return {
        secret.hex(), secret.hex().upper(), repr(secret)[2:-1], str(list(secret))[1:-1],
        base64.b64encode(secret).decode().rstrip("="), str(int.from_bytes(secret, "big")),
    }  # fmt: skip


async def test_nothing_that_is_said_holds_a_secret(
    keys, service, market, order, connect, tmp_path, said, monkeypatch
) -> None:
    outputs = list(shown_config(tmp_path, f"http://user:{PASSWORD}@127.0.0.1"))
    with pytest.raises(WrongPassphrase) as refused:
        load_keys(tmp_path / "node", PASSPHRASE + "x")
    outputs += [str(refused.value), repr(keys), str(keys), repr(keys.identity), repr(keys.account)]
    author = Author(keys.identity, bind(keys.identity, keys.account, CHAIN), "cpc1x", CHAIN)
    outputs.append(repr(author))
    async with (
        open_database(MemoryStore()) as db,
        MemoryHub().open_network(keys.identity, CHAIN) as network,
        httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(503))) as http,
    ):
        chain = HttpL1Client(f"http://user:{PASSWORD}@127.0.0.1:1", http)
        with pytest.raises(L1Error) as away:
            await chain.status()
        logging.getLogger("node.chainwatch").warning("the L1 does not answer: %s", away.value)
        directory = Directory(CHAIN, lambda: 0, 10)
        info = NodeInfo(author, ("market",), directory, ChainWatch(chain), lambda: 0, db, network)
        ring = Accounts(db, CHAIN, lambda: 0.0)
        market.balances[keys.account.address] = 10**21
        async with connect(replace(service, node=info, key_ring=ring), ("192.0.2.1", 1)) as client:
            token = await api_key(client, keys)
            monkeypatch.setattr(market, "receipt", lambda _: broken(token))
            outputs += await tour(client, order, token)
    outputs.append(said.getvalue())
    assert '"request"' in said.getvalue()
    secrets = forms(keys.identity.seed) | forms(keys.account.private)
    for secret in {*secrets, PASSPHRASE, PASSWORD, token, token.removeprefix("tm_")}:
        assert not [text for text in outputs if secret in text]


def broken(token: str) -> bytes:
    raise RuntimeError(f"cannot use {token}")


async def tour(client, order, token: str) -> list[str]:
    """Whatever the API says to someone with a key, and to someone with nearly that key."""
    bearer = {"Authorization": f"Bearer {token}"}
    task_id = (await client.post("/tasks", json=order, headers=bearer)).json()["task_id"]
    requests = [
        ("GET", "/status", bearer), ("GET", "/metrics", bearer), ("GET", "/peers", bearer),
        ("GET", "/account", bearer), ("GET", f"/tasks/{task_id}", bearer), ("GET", "/tasks", {}),
        ("GET", f"/tasks/{task_id}/receipt", bearer), ("POST", "/tasks", bearer),
        ("GET", "/account", {"Authorization": f"Bearer {token}x"}),
        ("GET", "/account", {"Authorization": f"Basic {token}"}),
        ("GET", f"/account?key={token}", {}), ("GET", "/openapi.json", {}), ("GET", "/no", bearer),
    ]  # fmt: skip
    answers = [await client.request(verb, path, headers=sent) for verb, path, sent in requests]
    assert {answer.status_code for answer in answers} >= {200, 400, 401, 404, 415, 500}
    return [f"{answer.headers} {answer.text}" for answer in answers]
