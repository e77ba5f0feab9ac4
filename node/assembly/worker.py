"""Building what a worker runs."""

from node.assembly.parts import Assembly, Parts
from node.l1.sender import Sender
from node.market.overdue import shortened
from node.roles.admission import DrawGate
from node.roles.overdue import late_attempts
from node.roles.ownresults import OwnResults
from node.roles.worker import Worker
from node.verification.author import Author


def add_worker(parts: Parts, assembly: Assembly, author: Author) -> None:
    """What computes."""
    network = parts.config.network
    gate = DrawGate(
        chain_id=author.chain_id,
        markets=network.network.market_keys,
        protocol=network.protocol,
        now_ms=parts.now_ms,
    )
    worker = Worker(
        network=parts.network,
        db=parts.db,
        author=author,
        protocol=network.protocol,
        gate=gate,
        places=parts.places,
        scratch=parts.scratch,
        offload=parts.offload,
        now_ms=parts.now_ms,
    )
    assembly.info.add(
        lambda: {"jobs_busy": worker.busy, "results_committed": worker.committed}, worker.waits
    )
    assembly.info.watch(lambda: tuple(shortened(late_attempts(worker.attempts(), parts.now_ms()))))
    assembly.runs.append(worker.run)


def own_results(parts: Parts, author: Author, sender: Sender) -> OwnResults:
    """Where a worker sends its proven results to the L1 itself."""
    network = parts.config.network
    return OwnResults(
        network=parts.network,
        db=parts.db,
        author=author,
        markets=network.network.market_keys,
        sender=sender,
        l1=parts.l1,
        gas_price=network.economics.gas_price,
        offload=parts.offload,
    )
