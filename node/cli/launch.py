"""The seam to the parts above the command line: each is one import and one call.

They are imported when they are called, so that no command pays for another's.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from node.config import Config, NetworkConfig
from node.config.values import HostPort

if TYPE_CHECKING:
    from node.verification.receipt import Receipt


class CheckedReceipt(NamedTuple):
    """What a receipt that holds is worth, and what it says."""

    anchored: bool
    proven: bool
    """All results were found proven, so that nobody's word is needed for them."""
    overturned: bool
    """A jury found the results false."""
    standing: str
    facts: Mapping[str, object]


def run_node(config: Config) -> None:
    """Run a node until it is told to stop."""
    from node.app import run

    _run(run, config)


def run_devnet(
    directory: Path,
    *,
    validators: int,
    workers: int,
    port: int,
    profile: str,
    settlement: str,
    device: str,
) -> None:
    """Run a network of nodes and a chain on this machine until it is told to stop."""
    from node.devnet import DevnetOptions, run_devnet

    options = DevnetOptions(
        validators=validators,
        workers=workers,
        api_port=port,
        profile=profile,
        settlement=settlement,
        device=device,
    )
    _run(run_devnet, directory, options)


def run_demo(device: str) -> None:
    """Run a network, buy one task on it, check its receipt, stop."""
    from node.devnet import run_demo

    _run(run_demo, device)


def run_devchain(
    directory: Path, listen: HostPort, block_time_s: float, profile: str, faults: Sequence[str]
) -> None:
    """Run a development chain until it is told to stop; `faults` as `Faults.parse` reads them."""
    from node.devnet.chain import run_devchain
    from node.l1.devchain.faults import Faults

    _run(run_devchain, directory, listen, block_time_s, profile, Faults.parse(faults))


def verify_receipt(
    data: bytes, network: NetworkConfig, artifacts: Sequence[Path]
) -> CheckedReceipt:
    """Verify a receipt, and its proofs if there are `artifacts`, files or folders of them, to do it
    with; raises ReceiptInvalid, a NodeError, if it does not hold."""
    from node.verification.receipt import result_hash_of
    from node.verification.receipt_check import Standing, verify_receipt

    receipt, standing = verify_receipt(data, network)
    proofs, proven = _proofs(receipt, network, artifacts)
    workers = dict.fromkeys(result.worker_address for result in receipt.results)
    blocks = dict.fromkeys(str(anchor.header.height) for anchor in receipt.anchors)
    outputs = [output for job in receipt.jobs for output in job.manifest.outputs]
    fewest = min(len(job.verdicts) for job in receipt.jobs)
    facts = {
        "task": receipt.task_id,
        "chain": receipt.chain_id,
        "block": ", ".join(blocks),
        "in_block": _in_block(receipt),
        "jobs": len(receipt.jobs),
        "worker": ", ".join(workers),
        "result_hash": result_hash_of(receipt.results).hex(),
        "outputs": [f"{output.name} {output.sha256.hex()}" for output in outputs],
        "verdicts": f"{fewest} of {receipt.draws[0].needed} needed",
        "proofs": proofs,
        "appeal": _ruling(receipt),
        "snapshots": [
            f"{one.number} of {len(one.candidates)} validators" for one in receipt.snapshots
        ],
    }
    overturned = standing is Standing.OVERTURNED
    return CheckedReceipt(standing is Standing.ANCHORED, proven, overturned, standing.value, facts)


def _ruling(receipt: "Receipt") -> str:
    appeal = receipt.appeal
    if appeal is None:
        return "none"
    return f"{appeal.outcome} by {len(appeal.rulings)} of {len(appeal.jury.seats)} jurors"


def _in_block(receipt: "Receipt") -> str:
    from node.verification.own import is_own

    own = sum(is_own(anchor.batch) for anchor in receipt.anchors)
    kinds = {"proven results": own, "batches": len(receipt.anchors) - own}
    return ", ".join(f"{kind}: {count}" for kind, count in kinds.items() if count)


def _proofs(
    receipt: "Receipt", network: NetworkConfig, artifacts: Sequence[Path]
) -> tuple[str, bool]:
    from node.cli.files import finder
    from node.verification.receipt_proofs import proofs_in, verify_proofs
    from node.workloads import bounds_of

    count = proofs_in(receipt)
    if not count:
        return "none: validators attest the result", False
    if not artifacts:
        return f"{count} not verified: give the artifacts of the task with --artifact", False
    verify_proofs(receipt, finder(artifacts), bounds_of(network.protocol))
    return f"{count} verified: the result is proven", True


def _run(main: Callable[..., Awaitable[None]], *arguments: object) -> None:
    import trio

    trio.run(main, *arguments)
