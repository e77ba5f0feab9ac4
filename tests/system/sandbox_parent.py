"""A node's process in miniature: opens a compute child, says what it is like, and waits."""

import json
import os
import sys
from pathlib import Path

import trio

from gpu.workloads.base import JobContext
from node.sandbox import process, seccomp
from node.sandbox.errors import LayerMissing
from node.sandbox.launch import Program
from node.sandbox.pool import ComputeChild, open_compute_child

PROBE = Path(__file__).with_name("sandbox_probe.py")
PROGRAM = Program("sandbox_probe", {"sandbox_probe": str(PROBE)})
NO_LANDLOCK = (
    (0x20, 0, 0, 0),  # the number of the call
    (0x15, 0, 1, 444),  # landlock_create_ruleset
    (0x06, 0, 0, 0x50000 | 38),  # ENOSYS
    (0x06, 0, 0, 0x7FFF0000),  # everything else is allowed
)


async def main(scratch: Path) -> None:
    try:
        async with open_compute_child(
            memory_limit_bytes=1 << 28, scratch_root=scratch, program=PROGRAM
        ) as child:
            tell(await describe(child, scratch))
            await trio.sleep_forever()
    except LayerMissing as error:
        tell({"error": str(error)})


async def describe(child: ComputeChild, scratch: Path) -> dict[str, object]:
    async def ask(kind: str, **arguments: object) -> object:
        parameters = json.dumps(arguments).encode()
        await child.run(kind, JobContext("c", "t", "w", 0), parameters, scratch, lambda _: None)
        return json.loads((scratch / "answer.json").read_bytes())

    return {
        "pid": child.process_id,
        "layers": child.layers,
        "environment": await ask("environment"),
        "parent": await ask("read", path=f"/proc/{os.getpid()}/environ"),
        "file": await ask("read", path="/etc/passwd"),
    }


def tell(what: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    process.forbid_inspection()
    if "without-landlock" in sys.argv:
        process.drop_privileges()
        seccomp.apply(NO_LANDLOCK)
    trio.run(main, Path(sys.argv[1]))
