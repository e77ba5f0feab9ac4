"""Schemathesis against a real market: its own OpenAPI document, held to every word of it.

The market is one process with every role, over a development chain, with a customer's money and
finished tasks, so that every route has something to answer. Requests carry an API key.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import msgspec
import pytest
import trio
from hypothesis import HealthCheck, Phase, settings

from node.api.answers import TaskAnswer
from node.api.openapi import describe
from node.client import AsyncClient
from node.devnet.layout import Layout, write_layout
from node.devnet.network import Devnet, DevnetOptions

schemathesis = pytest.importorskip("schemathesis", reason="needs the extra `full`")

DOCUMENT = schemathesis.openapi.from_dict(json.loads(msgspec.json.encode(describe())))
"""As this code writes it; the market must serve the same."""

pytestmark = [
    pytest.mark.full,
    pytest.mark.filterwarnings("default"),  # schemathesis' own, and of what it brings along
]

EXAMPLES = 60
PATIENT = settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)
PAYLOAD = {"seed": "hello", "matrix_size": 16, "iterations": 2}
ENDLESS = "/events"
"""Not asked: a stream of all tasks has no end. The stream of one task is asked."""

BEYOND_A_SCHEMA: dict[str, set[str | None]] = {
    "POST /tasks": {"challenge_type", "payload", "reward", "deadline"},
    "POST /quote": {"challenge_type", "payload"},
    "GET /tasks": {"cursor"},  # one that a market gave; and not together with an offset
    "GET /account": {"address"},  # its checksum
    "POST /account/challenge": {"address"},
    "POST /account/keys": {"address", "challenge", "public_key", "signature", "spend_limit"},
    "POST /account/withdraw": {"amount"},
    "POST /account/payout": {"threshold"},  # between two bounds of the network's
    "POST /bond": {"amount"},
    "POST /unbond": {"amount"},
    "GET /bond/{address}": {"address"},
    "POST /tasks/{task_id}/appeal": {"reason"},  # of printable characters
    "GET /artifacts/{sha256}": {"Range"},
}
"""What a request may be wrong in that fits the schema: each kind of work documents its own
payload, and signatures, checksums and the time of day are nothing that a schema can say."""
REFUSALS = {400, 402, 413, 416, 422}
MALFORMED = "malformed_json"
"""An integer beyond 64 bits, or a value nested too deep, somewhere in a free-form object."""


class Market(NamedTuple):
    url: str
    api_key: str
    task: TaskAnswer
    """Completed and anchored."""


def shrunk(folder: Path) -> Layout:
    """One process with every role, whose network takes small work only."""
    layout = write_layout(folder, validators=0, workers=0, api_port=0)
    small = "quorum_size = 1\nquorum_needed = 1\nmax_matrix_size = 64\n"
    small += "max_trace_bytes = 65536\nmax_proof_bytes = 16384"
    replace(layout.network_file, "[protocol]", f"[protocol]\n{small}")
    replace(layout.market.config, 'roles = ["market"]', 'roles = ["market","validator","worker"]')
    return layout


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


async def prepare(devnet: Devnet) -> tuple[str, TaskAnswer]:
    """Start everything, make an API key, buy a task and see it through."""
    await devnet.chain.start()
    await devnet.nodes["market"].start()
    await devnet.fund_customer()
    customer = devnet.layout.customer.account
    async with AsyncClient(devnet.layout.market.api_url) as client:
        chain_id = (await client.status()).chain_id
        key = (await client.create_key(customer, chain_id)).key
        task = await client.submit("synthetic", PAYLOAD, "1.0")
        goal = client.follow(task.task_id, until="settled", timeout_s=60)
        *_, done = [seen async for seen in goal]
    return key, done


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    layout = shrunk(tmp_path_factory.mktemp("market"))
    devnet = Devnet(layout, DevnetOptions())
    try:
        key, task = trio.run(prepare, devnet)
        served = httpx.get(f"{layout.market.api_url}/openapi.json").json()
        assert served == DOCUMENT.raw_schema
        yield Market(layout.market.api_url, key, task)
    finally:
        codes = trio.run(devnet.stop)
    said = layout.market.log.read_text()
    assert set(codes.values()) == {0}, said[-3000:]
    assert '"level": "error"' not in said, said[-3000:]


def refused_for_what_no_schema_says(_: Any, response: Any, case: Any) -> None:
    """In the place of `positive_data_acceptance`, which takes no refusal at all.

    A request that fits the schema is refused for a field that is listed above, or not.
    """
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if response.status_code in REFUSALS:
        problem = response.json()
        field = (problem["field"] or "").partition(".")[0]
        allowed = BEYOND_A_SCHEMA.get(case.operation.label, set())
        assert problem["code"] == MALFORMED or field in allowed, problem


def ask(market: Market, case: Any) -> Any:
    """Send a request and check the answer in every way that there is."""
    excluded = [schemathesis.checks.positive_data_acceptance]
    if case.operation.label == "POST /rpc":
        # JSON-RPC answers 200 to everything that is JSON, and says inside what is wrong.
        excluded.append(schemathesis.checks.negative_data_rejection)
    return case.call_and_validate(
        base_url=market.url,
        headers={"Authorization": f"Bearer {market.api_key}"},
        additional_checks=[refused_for_what_no_schema_says],
        excluded_checks=excluded,
        timeout=90,
    )


@DOCUMENT.exclude(path=ENDLESS).parametrize()
@PATIENT
def test_every_answer_is_one_that_the_document_allows(case: Any, market: Market) -> None:
    ask(market, case)


FINISHED = (
    "/tasks/{task_id}",
    "/tasks/{task_id}/wait",
    "/tasks/{task_id}/receipt",
    "/tasks/{task_id}/events",
)


@pytest.mark.parametrize("path", FINISHED)
def test_a_finished_tasks_answers_fit_the_document(path: str, market: Market) -> None:
    query = {"phase": "queued"} if path.endswith("wait") else {}
    case = DOCUMENT[path]["GET"].Case(path_parameters={"task_id": market.task.task_id}, query=query)
    assert ask(market, case).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"), [({}, 200), ({"Range": "bytes=1-3"}, 206), ({"Range": "bytes=-5"}, 206)]
)
def test_an_outputs_bytes_fit_the_document(
    headers: dict[str, str], status: int, market: Market
) -> None:
    (output,) = market.task.result.artifacts
    case = DOCUMENT["/artifacts/{sha256}"]["GET"].Case(
        path_parameters={"sha256": output.sha256}, headers=headers
    )
    assert ask(market, case).status_code == status


def test_bought_tasks_lead_where_the_links_say(market: Market) -> None:
    """Sequences of requests, in which one takes what another gave."""

    class Walk(DOCUMENT.exclude(path=ENDLESS).as_state_machine()):  # type: ignore[misc]
        def get_call_kwargs(self, _case: Any) -> dict[str, Any]:
            bearer = {"Authorization": f"Bearer {market.api_key}"}
            return {"base_url": market.url, "headers": bearer, "timeout": 90}

        def validate_response(self, response: Any, case: Any, **_: Any) -> None:
            case.validate_response(
                response,
                additional_checks=[refused_for_what_no_schema_says],
                # As in `ask`; a step does not know whether it is one of JSON-RPC.
                excluded_checks=[
                    schemathesis.checks.positive_data_acceptance,
                    schemathesis.checks.negative_data_rejection,
                ],
            )

    Walk.run(settings=settings(PATIENT, max_examples=15, stateful_step_count=8))
