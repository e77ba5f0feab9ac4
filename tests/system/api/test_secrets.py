"""A real market with secrets of every kind: none of them in anything that it prints or answers."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
import trio

from node.client import AsyncClient
from node.devnet.layout import Layout, write_layout
from node.devnet.network import Devnet, DevnetOptions
from node.keys import Cost, NodeKeys, load_keys, make_keys

pytestmark = pytest.mark.system

PASSWORD, PASSPHRASE = "pa55w0rd", "correct-horse-battery"
CHEAP = Cost(memory_bytes=8192, passes=1)
ROOT = Path(__file__).parents[3]


class Market(NamedTuple):
    devnet: Devnet
    layout: Layout
    keys: NodeKeys

    @property
    def log(self) -> str:
        return self.layout.market.log.read_text()


@pytest.fixture
async def market(tmp_path) -> AsyncIterator[Market]:
    """A market with sealed keys, whose L1 wants a password, logging all it can."""
    layout = write_layout(tmp_path, validators=1, workers=0, api_port=0)
    secret = layout.network_file.read_text().replace("http://", f"http://user:{PASSWORD}@", 1)
    assert PASSWORD in secret
    layout.network_file.write_text(secret)
    seat = layout.market
    for file in (seat.directory / "keys").iterdir():
        file.unlink()
    keys = make_keys(seat.directory, PASSPHRASE, CHEAP)
    seat.config.write_text(
        seat.config.read_text().replace("[node]", '[node]\nlog_level = "debug"', 1)
    )
    devnet = Devnet(layout, DevnetOptions())
    try:
        await devnet.chain.start()
        await devnet.nodes["market"].start({"TMNODE_PASSPHRASE": PASSPHRASE})
        yield Market(devnet, layout, keys)
    finally:
        with trio.CancelScope(shield=True):
            await devnet.stop()


def forms(secret: bytes) -> set[str]:
    """The ways in which bytes get into text."""
    return {secret.hex(), repr(secret)[2:-1], base64.b64encode(secret).decode().rstrip("=")}


async def test_a_real_market_tells_no_secret(market: Market) -> None:
    seat = market.layout.market
    answers, tokens = await tour(seat.api_url, market.layout.customer)
    await market.devnet.chain.kill()  # what is logged when the L1 is away
    async with AsyncClient(seat.api_url) as client:
        while "the L1 does not answer" not in market.log:
            await client.status()
    assert await market.devnet.nodes["market"].stop() == 0
    answers += [tmnode("config", "show", "--config", seat.config), refused(seat.config)]
    lines = [json.loads(line) for line in market.log.splitlines()]
    assert {line["node"] for line in lines} == {market.keys.identity.peer_id}
    assert {line["roles"] for line in lines} == {"market"}
    assert any(line["level"] == "debug" for line in lines), "all that can be logged is"
    secrets = forms(market.keys.identity.seed) | forms(market.keys.account.private)
    basic = base64.b64encode(f"user:{PASSWORD}".encode()).decode()
    for found in {*secrets, *tokens, PASSPHRASE, PASSWORD, basic}:
        places = [text[:80] for text in (market.log, *answers) if found in text]
        assert places == [], found[:8]


async def tour(url: str, customer: NodeKeys) -> tuple[list[str], list[str]]:
    """What the market answers to a customer, to a stranger and to a fool; the API key too."""
    async with AsyncClient(url) as client:
        chain_id = (await client.status()).chain_id
        token = (await client.create_key(customer.account, chain_id, "5.0")).key
    bearer = {"Authorization": f"Bearer {token}"}
    order = {"challenge_type": "synthetic", "payload": {}, "reward": "1.0"}
    requests = [
        ("GET", "/status", bearer), ("GET", "/metrics", bearer), ("GET", "/peers", bearer),
        ("GET", "/healthz", {}), ("GET", "/readyz", {}), ("GET", "/openapi.json", {}),
        ("GET", "/docs", {}), ("GET", "/account", bearer), ("POST", "/tasks", bearer),
        ("GET", "/account", {"Authorization": f"Bearer {token}x"}), ("GET", f"/{token}", {}),
        ("GET", f"/tasks?cursor={token}", {}), ("POST", f"/rpc?key={token}", bearer),
    ]  # fmt: skip
    async with httpx.AsyncClient(base_url=url, verify=False) as http:
        found = [
            await http.request(verb, path, headers=sent, json=order if verb == "POST" else None)
            for verb, path, sent in requests
        ]
    assert {answer.status_code for answer in found} >= {200, 400, 401, 404, 503}
    echoed = [one for one in found if one.url.query and b"cursor" in one.url.query]
    quiet = [one for one in found if one not in echoed]
    return [f"{one.headers} {one.text}" for one in quiet], [token, token.removeprefix("tm_")]


def tmnode(*arguments: object, passphrase: str | None = None) -> str:
    """Everything that a command prints."""
    environment = {**os.environ, **({"TMNODE_PASSPHRASE": passphrase} if passphrase else {})}
    done = subprocess.run(
        [sys.executable, "-m", "node.cli", *map(str, arguments)],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr


def refused(config: Path) -> str:
    """What a node says that cannot open its keys."""
    text = tmnode("run", "--config", config, passphrase=PASSPHRASE + "!")
    assert "the passphrase does not open the file" in text
    return text.replace(PASSPHRASE + "!", "")


def test_the_keys_are_what_is_looked_for(tmp_path) -> None:
    """The search would find them: an unsealed key file holds them as they are looked for."""
    keys = make_keys(tmp_path)
    text = "".join(file.read_text() for file in (tmp_path / "keys").iterdir())
    for secret in (keys.identity.seed, keys.account.private):
        assert any(form in text for form in forms(secret))
    assert load_keys(tmp_path).identity.seed == keys.identity.seed
