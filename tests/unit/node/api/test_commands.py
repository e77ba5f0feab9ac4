import importlib
import pkgutil
import subprocess
import sys

import msgspec
import pytest
from jsonschema_rs import meta

import node
from node.api.commands import BY_METHOD, BY_NAME, COMMANDS
from node.api.errors import INTERNAL, MEANINGS, meaning_of, problem, rpc_error
from node.api.openapi import body_schema, describe
from node.api.params import KINDS, STATUSES, CreateKeyParams, Params, bind, metadata
from node.errors import InvalidInput, NodeError

BY_NAME_CASES = pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)


def test_names_methods_and_routes_are_unique() -> None:
    assert len(BY_NAME) == len(COMMANDS)
    assert len({(command.verb, command.path) for command in COMMANDS}) == len(COMMANDS)
    assert len(BY_METHOD) == len([c for c in COMMANDS if c.method is not None])
    assert all(method.startswith("tm_") for method in BY_METHOD)


@BY_NAME_CASES
def test_every_field_is_documented_with_an_example_that_is_taken(command) -> None:
    assert command.summary.endswith(".")
    assert command.params.__doc__
    examples = {}
    for name, field in metadata(command.params).items():
        assert field["description"].endswith(".")
        (examples[name],) = field["examples"]
    bind(command.params, examples)
    assert msgspec.structs.fields(command.params) is not None
    assert set(command.path_fields) | set(command.headers) | set(command.free_fields) == set(
        command.params.__struct_fields__
    )


@BY_NAME_CASES
async def test_a_market_command_needs_a_market(command, node, connect) -> None:
    from node.api.service import Service

    examples = {name: field["examples"][0] for name, field in metadata(command.params).items()}
    if command.params is CreateKeyParams or command.name == "account-challenge":
        return
    path = command.path.format(**examples)
    async with connect(Service(node=node, local_account="cpc1local")) as client:
        free = {name: examples[name] for name in command.free_fields}
        sent = {"json": free} if command.in_body else {"params": free}
        headers = {title: str(examples[name]) for name, title in command.headers.items()}
        answer = await client.request(command.verb, path, headers=headers, **sent)
    assert (answer.status_code == 501) == command.needs_market, answer.text


def test_the_kinds_are_the_workloads_kinds() -> None:
    from gpu.workloads import KINDS as WORKLOADS

    assert tuple(WORKLOADS) == KINDS


def test_the_statuses_are_the_tasks_statuses() -> None:
    from node.market.phases import STATUS_OF

    assert set(STATUSES) == set(STATUS_OF.values())


@pytest.mark.parametrize("answer", ["TaskAnswer", "TaskEvent"])
def test_the_description_has_the_phases_and_says_which_are_ends(answer: str) -> None:
    from node.market.phases import ENDS, STATUS_OF

    phase = describe()["components"]["schemas"][answer]["properties"]["phase"]
    assert phase["enum"] == list(STATUS_OF)
    for end, meaning in ENDS.items():
        assert f"`{end}`: {meaning}" in phase["description"]


def all_errors(kind: type[NodeError] = NodeError) -> set[type[NodeError]]:
    for module in pkgutil.walk_packages(node.__path__, "node."):
        if module.name.endswith("errors"):
            importlib.import_module(module.name)
    return {kind}.union(*(all_errors(sub) for sub in kind.__subclasses__()))


def test_every_error_has_a_meaning() -> None:
    for kind in all_errors():
        if kind.__module__ in ("node.errors", "node.api.errors"):
            assert kind.code in MEANINGS, kind
            assert kind.__doc__


def test_codes_are_told_apart() -> None:
    ours = [m.rpc_code for m in MEANINGS.values() if m.rpc_code > -32600]
    assert len(ours) == len(set(ours))
    assert all(-32099 <= code <= -32001 for code in ours)


class Stranger(InvalidInput):
    """A kind of input error that the doors have never heard of."""

    code = "stranger"


def test_an_unknown_error_means_what_its_base_means() -> None:
    error = Stranger("is odd", field="x", remedy="do y")
    assert meaning_of(error).status == 400
    answer = problem(error)
    assert msgspec.json.decode(answer.body) == {
        "type": "/docs#stranger",
        "title": "A field of the request is wrong",
        "status": 400,
        "code": "stranger",
        "detail": "is odd",
        "field": "x",
        "remedy": "do y",
    }
    assert rpc_error(error) == {
        "code": -32602,
        "message": "x: is odd (do y)",
        "data": {"code": "stranger", "field": "x", "remedy": "do y"},
    }
    assert meaning_of(INTERNAL).status == 500


def test_the_openapi_document_holds_together() -> None:
    document = describe()
    text = msgspec.json.encode(document).decode()
    for reference in set(text.split('"$ref":"')[1:]):
        name = reference.partition('"')[0].rpartition("/")[2]
        assert name in document["components"]["schemas"], name
    for schema in document["components"]["schemas"].values():
        assert meta.is_valid(schema)
    submit = document["paths"]["/tasks"]["post"]
    assert submit["parameters"][0]["name"] == "Idempotency-Key"
    body = submit["requestBody"]["content"]["application/json"]["schema"]
    assert list(body["properties"]) == ["challenge_type", "payload", "reward", "deadline"]
    assert body["required"] == ["challenge_type", "payload", "reward"]
    cancel = document["paths"]["/tasks/{task_id}/cancel"]["post"]
    assert cancel["requestBody"]["required"] is False
    assert "requestBody" not in document["paths"]["/tasks"]["get"]
    assert meta.is_valid(body_schema(BY_NAME["account-key"]))


async def test_the_openapi_document_is_served(client) -> None:
    served = (await client.get("/openapi.json")).json()
    assert served == msgspec.json.decode(msgspec.json.encode(describe()))


def test_parameters_are_frozen() -> None:
    with pytest.raises(AttributeError):
        bind(Params, {}).x = 1


def test_the_table_loads_without_a_server() -> None:
    """The command line reads it; FastAPI alone would cost it a third of a second."""
    code = (
        "import sys, node.api.commands; heavy = {'fastapi', 'hypercorn', 'starlette', 'coincurve'};"
        "sys.exit(bool(heavy & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
