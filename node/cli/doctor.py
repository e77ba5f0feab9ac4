"""`tmnode doctor`: the devices of this machine, and whether their kernels are right."""

import click

from node.cli.options import json_option
from node.cli.output import print_answer, table


@click.command()
@json_option
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """Test every device of this machine against the golden digests.

    A device that gives a wrong bit is named with the operation, and must not be used; the exit code
    is then 1. `device` is what `[worker] device` in a node's configuration is set to.
    """
    from gpu.cuda.devices import find_devices
    from gpu.doctor import examine

    found = find_devices()
    devices = [tested._asdict() for tested in examine(found)]
    failed = any(device["problem"] for device in devices)
    rows = [[tested["device"], tested["description"], _verdict(tested)] for tested in devices]
    lines = [table(["device", "description", "self-test"], rows)]
    lines += [f"no GPU: {found.problem}"] if found.problem else []
    answer = {"devices": devices, "no_gpu": found.problem or None, "healthy": not failed}
    print_answer(answer, "\n".join(lines), as_json=as_json)
    context.exit(int(failed))


def _verdict(tested: dict[str, object]) -> str:
    if tested["problem"]:
        return f"FAILED, do not use: {tested['problem']}"
    return f"{tested['right']} operations right"
