"""`tmnode task fetch`."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import click

from node.api import answers
from node.cli.options import PATH, api_option, json_option
from node.cli.output import pairs, print_answer
from node.client import Client
from node.errors import Conflict, Unavailable


@click.command()
@click.argument("task_id")
@click.option("--out", type=PATH, default=".", show_default=True, help="Folder, made if need be.")
@api_option
@json_option
def fetch(task_id: str, out: Path, api: str | None, as_json: bool) -> None:
    """Save the outputs of a completed task, and its proofs, each checked by its SHA-256.

    `tmnode receipt verify --artifact FOLDER` verifies the proofs with them; a proof of up to 32 KiB
    is in the receipt itself.
    """
    saved = {}
    with Client(api) as client:
        for name, digest in _wanted(client.task(task_id)):
            data = client.artifact(digest)
            if sha256(data).hexdigest() != digest:
                raise Unavailable(f"{name} came with other bytes than {digest}", field=task_id)
            out.mkdir(parents=True, exist_ok=True)
            (out / name).write_bytes(data)
            saved[str(out / name)] = f"{len(data)} bytes"
    print_answer({"files": saved}, pairs(saved), as_json=as_json)


def _wanted(task: answers.TaskAnswer) -> Iterator[tuple[str, str]]:
    """Names and digests. The names are those of a manifest that was checked: plain ones."""
    if task.result is None:
        problem = f"the task is {task.phase}: it has no result"
        raise Conflict(problem, field="task_id", remedy="wait with `tmnode task wait`")
    for file in task.result.artifacts:
        yield Path(file.name).name, file.sha256
    for proof in task.result.proofs:
        if proof.sha256 is not None:
            yield f"proof-{proof.job}", proof.sha256
